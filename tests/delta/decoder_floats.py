"""Codec 2: floats, predicted from the base's bits or from what its quantized weights stand for."""
from decoder_blocks import FORMATS, clamp
from decoder_quants import float_scale, view_base
from decoder_streams import Streams


FLOATS = {"F32": (4, 23, 127), "F16": (2, 10, 15), "BF16": (2, 7, 127)}  # bytes, f, bias


def nearest_float(value, exponent, f, bias):
    """The bits without the sign of the float nearest to value * 2^exponent, ties to even."""
    if value == 0:
        return 0
    leading = value.bit_length() - 1 + exponent
    last = max(leading, 1 - bias) - f
    shift = last - exponent
    if shift <= 0:
        mantissa = value << -shift
    else:
        mantissa, rest = value >> shift, value & (1 << shift) - 1
        half = 1 << shift - 1
        mantissa += rest > half or (rest == half and mantissa & 1)
    bits = mantissa + (max(leading + bias, 1) - 1 << f)
    return min(bits, 2 * bias + 1 << f)


def floats_of(name, base_block, data):
    size, f, bias = FLOATS[name]
    base_name, block, block_bytes = base_block
    count, out = len(data) // block_bytes * block, []
    for first in range(0, count, 256):
        part = data[first // block * block_bytes:(first + 256) // block * block_bytes]
        weights = min(256, count - first)
        if base_name in FORMATS:
            units, levels, _ = view_base(base_name, part, weights)
            exact = []
            for i, q in enumerate(levels):
                (slope, e), (offset, o) = units[i // 16]
                low = min(e, o)
                exact.append(((slope * q << e - low) + (offset << o - low), low))
        else:
            exact = [float_scale(base_name, part, i) for i in range(weights)]
        for value, exponent in exact:
            bits = nearest_float(abs(value), exponent, f, bias) | (value < 0) << 8 * size - 1
            out.append(bits.to_bytes(size, "little"))
    return b"".join(out)


def decode_floats(name, payload, base):
    size, f, bias = FLOATS[name]
    bits = 8 * size
    mask = (1 << bits - 1) - 1
    s = Streams([64, 267, 267], payload)
    noise, out = 0, []
    values = [int.from_bytes(base[i:i + size], "little") for i in range(0, len(base), size)]
    for first in range(0, len(values), 256):
        group = values[first:first + 256]
        noise = s.streams[0].read(noise // 4)
        if noise == 0:
            out += group
            continue
        h = noise - 160
        x = (h >> 1) + bias
        small = 0 if x <= 0 else min((x << f) + (0x3504F3 >> 23 - f if h & 1 else 0), mask)
        predictions, contexts = [], []
        for value in group:
            m = value & mask
            l = clamp(2 * ((m >> f) - bias) + 160 - noise + 12, 0, 63)
            if m == 0 or l < 10:
                predictions.append(small)
                contexts.append(256 if m == 0 else 257 + l)
            else:
                predictions.append(m)
                contexts.append(4 * l + (m >> f - 2 & 3))
        symbols = [s.streams[1].read(c) for c in contexts]
        if size == 4:
            flips = [s.streams[2].read(c) for c in contexts]
        else:
            flips = [x & 1 for x in symbols]
            symbols = [x >> 1 for x in symbols]
        for value, predicted, symbol, flip in zip(group, predictions, symbols, flips):
            magnitude = (predicted + s.signed(symbol)) & mask
            out.append(magnitude | ((value >> bits - 1) ^ flip) << bits - 1)
    s.finish()
    return b"".join(v.to_bytes(size, "little") for v in out)
