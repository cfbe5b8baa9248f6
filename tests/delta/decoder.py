#!/usr/bin/env python3
"""A second reader of .sgdelta patches, written from docs/FORMAT-DELTA.md alone.

    decoder.py BASE.gguf PATCH.sgdelta OUT.gguf

For tests: it is slow, holds everything in memory, handles single-file GGUF bases, and trusts what
the checksums vouch for. Needs the standard library and the system's libzstd (through ctypes).
"""
import ctypes
import ctypes.util
import hashlib
import json
import struct
import sys
import zlib

from decoder_blocks import (
    BLOCKS, CODEBOOK, FORMATS, Group, clamp, f16, level, pack, ratio, split, times, trunc_div, u16,
    unpack)


# zstd ---------------------------------------------------------------------------------------------

def load_zstd():
    name = ctypes.util.find_library("zstd") or "libzstd.so.1"
    library = ctypes.CDLL(name)
    library.ZSTD_createDCtx.restype = ctypes.c_void_p
    library.ZSTD_decompressDCtx.restype = ctypes.c_size_t
    library.ZSTD_decompressDCtx.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    library.ZSTD_DCtx_refPrefix.restype = ctypes.c_size_t
    library.ZSTD_DCtx_refPrefix.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    library.ZSTD_freeDCtx.argtypes = [ctypes.c_void_p]
    return library


def unzstd(data, size, prefix=b""):
    library = load_zstd()
    context = library.ZSTD_createDCtx()
    if prefix:
        library.ZSTD_DCtx_refPrefix(context, prefix, len(prefix))
    target = ctypes.create_string_buffer(max(size, 1))
    got = library.ZSTD_decompressDCtx(context, target, size, data, len(data))
    library.ZSTD_freeDCtx(context)
    assert got == size, "zstd data is damaged"
    return target.raw[:size]


# GGUF ---------------------------------------------------------------------------------------------

def parse_gguf(data):
    """(header bytes, {tensor: (type, offset, bytes)}) of a GGUF; data may end with the header."""
    at = 4
    scalar = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def take(fmt):
        nonlocal at
        value, = struct.unpack_from("<" + fmt, data, at)
        at += struct.calcsize(fmt)
        return value

    def text():
        nonlocal at
        size = take("Q")
        at += size
        return data[at - size:at].decode()

    def value(kind):
        nonlocal at
        if kind == 8:
            return text()
        if kind == 9:
            element, count = take("I"), take("Q")
            for _ in range(count):
                value(element)
            return None
        at += scalar[kind]
        return int.from_bytes(data[at - scalar[kind]:at], "little")

    take("I")
    tensor_count, key_count = take("Q"), take("Q")
    alignment = 32
    for _ in range(key_count):
        key, kind = text(), take("I")
        found = value(kind)
        if key == "general.alignment":
            alignment = found
    table = []
    for _ in range(tensor_count):
        name = text()
        weights = 1
        for _ in range(take("I")):
            weights *= take("Q")
        kind, offset = take("I"), take("Q")
        _, block, size = BLOCKS[kind]
        table.append((name, kind, offset, weights // block * size))
    start = -(-at // alignment) * alignment
    return data[:start], {n: (k, start + o, b) for n, k, o, b in table}


def unfold(symbol, prediction, low, bits):
    r = -(symbol // 2) - 1 if symbol & 1 else symbol // 2
    return low + ((prediction + r - low) % (1 << bits))


# Streams ------------------------------------------------------------------------------------------

class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            b = self.byte()
            value |= (b & 127) << shift
            shift += 7
            if b < 128:
                return value


class Stream:
    def __init__(self, context_count, model, data):
        table_count = model.byte()
        self.data = Reader(data)
        if table_count == 0:
            self.states = []
            return
        self.table_of = model.take(context_count)
        self.tables = [self.read_table(model) for _ in range(table_count)]
        lanes = self.data.byte()
        self.states = [int.from_bytes(self.data.take(4), "little") for _ in range(lanes)]
        self.lane = 0

    @staticmethod
    def read_table(model):
        slots, symbol = [], -1
        while len(slots) < 4096:
            symbol += model.byte() + 1
            frequency = model.varint()
            start = len(slots)
            slots += [(symbol, frequency, start)] * frequency
        return slots

    def read(self, context):
        state = self.states[self.lane]
        symbol, frequency, start = self.tables[self.table_of[context]][state & 4095]
        state = frequency * (state >> 12) + (state & 4095) - start
        if state < 65536:
            state = state << 16 | int.from_bytes(self.data.take(2), "little")
        self.states[self.lane] = state
        self.lane = (self.lane + 1) % len(self.states)
        return symbol

    def finish(self):
        assert all(state == 65536 for state in self.states)
        assert self.data.at == len(self.data.data)


class Streams:
    def __init__(self, context_counts, payload):
        reader = Reader(payload)
        model_bytes, packed_bytes = reader.varint(), reader.varint()
        sizes = [reader.varint() for _ in context_counts]
        raw_bytes = reader.varint()
        model = Reader(unzstd(reader.take(packed_bytes), model_bytes))
        self.streams = [Stream(c, model, reader.take(s)) for c, s in zip(context_counts, sizes)]
        self.raw = int.from_bytes(reader.take(raw_bytes), "little")
        assert reader.at == len(payload)

    def signed(self, symbol):
        """The value of a signed symbol, with its raw bits."""
        token = (symbol + 1) // 2
        magnitude = token
        if token >= 16:
            bits = (token - 16) // 4 + 2
            magnitude = ((4 + (token - 16) % 4) << bits) + (self.raw & ((1 << bits) - 1))
            self.raw >>= bits
        return magnitude if symbol & 1 else -magnitude

    def finish(self):
        for stream in self.streams:
            stream.finish()
        assert self.raw == 0


# Codec 1 ------------------------------------------------------------------------------------------

def slope_of(form, group, sub):
    if form.scale_bits == 0:
        return f16(group.d[sub])
    return times(f16(group.d[0]), group.scale[sub])


def offset_of(form, group, sub):
    if form.m == 0:
        return 0, 0
    if form.min_bits == 0:
        return f16(group.m[sub])
    return times(f16(group.m[0]), form.m * group.min[sub])


def float_scale(name, data, index):
    if name == "F16":
        return f16(u16(data, 2 * index))
    bits = (int.from_bytes(data[4 * index:4 * index + 4], "little") if name == "F32"
            else u16(data, 2 * index) << 16)
    e, f = bits >> 23 & 255, bits & 0x7fffff
    magnitude = f if e == 0 else f + (1 << 23)
    return (-magnitude if bits >> 31 else magnitude), max(e, 1) - 150


def view_base(name, data, count):
    """Per 16 weights (slope, offset), per weight its level; and the fields, if it has any."""
    if name in FORMATS:
        form, group = FORMATS[name], unpack(name, data)
        units = [(slope_of(form, group, 16 * u // form.sub), offset_of(form, group, 16 * u // form.sub))
                 for u in range(count // 16)]
        levels = [CODEBOOK[q] for q in group.quant] if form.codebook else group.quant
        return units, levels, group
    units, levels = [], []
    for u in range(count // 16):
        weights = [float_scale(name, data, 16 * u + i) for i in range(16)]
        tops = [abs(w[0]).bit_length() + w[1] for w in weights if w[0]]
        if not tops:
            units.append(((0, 0), (0, 0)))
            levels += [0] * 16
            continue
        exponent = max(tops) - 11
        units.append(((1, exponent), (0, 0)))
        for mantissa, e in weights:
            shift = exponent - e
            levels.append(trunc_div(mantissa, 1 << shift) if shift >= 0 else mantissa << -shift)
    return units, levels, None


def codebook_place(p):
    v = clamp((p + 2048) >> 12, -140, 130)
    i = next((i for i in range(15) if 2 * v <= CODEBOOK[i] + CODEBOOK[i + 1]), 15)
    below = CODEBOOK[i] - CODEBOOK[i - 1] if i > 0 else CODEBOOK[1] - CODEBOOK[0]
    above = CODEBOOK[i + 1] - CODEBOOK[i] if i < 15 else CODEBOOK[15] - CODEBOOK[14]
    o = 2 * (v - CODEBOOK[i]) + below
    quarter = clamp(trunc_div(4 * o, below + above), 0, 3)
    edge = 3 if o < 0 else 4 if o > below + above else 1 if i == 0 else 2 if i == 15 else 0
    return i, quarter, edge


NOISE, D, M, SCALE, MIN, QUANT = range(6)


class QuantDecoder:
    def __init__(self, target_name, base_name, payload):
        self.name, self.form = target_name, FORMATS[target_name]
        self.base_name, self.same = base_name, target_name == base_name
        self.s = Streams([64, 32, 32, 512, 224, 340], payload)
        self.noise = self.last_d = self.last_m = 0

    def half(self, stream, predicted):
        context = clamp(level(f16(predicted)) - self.noise + 20, 0, 31)
        symbol = self.s.streams[stream].read(context)
        magnitude = ((predicted & 0x7fff) + self.s.signed(symbol // 2)) % 0x8000
        return magnitude | (predicted & 0x8000) ^ ((symbol & 1) << 15)

    def scale(self, base, group, sub):
        form = self.form
        step, quarter = (group.scale[sub - 1] if sub else 0), 0
        if self.same:
            a = times(f16(base.d[0]), base.scale[sub])
            step, quarter = split(ratio(a, f16(group.d[0]), 1 << 28))
        low = -(1 << form.scale_bits - 1) if form.signed else 0
        predicted = clamp(step, low, low + (1 << form.scale_bits) - 1)
        k = form.scale_bits - 4 - (1 if form.signed else 0)
        coarse = clamp(level(f16(group.d[0])) - self.noise + 12, 0, 15) // 2
        context = quarter + 4 * min(abs(predicted) >> k, 15) + 64 * coarse
        symbol = self.s.streams[SCALE].read(context)
        if form.signed:
            magnitude = unfold(symbol // 2, predicted if predicted >= 0 else -predicted - 1, 0,
                               form.scale_bits - 1)
            negative = (predicted < 0) != (symbol & 1 == 1)
            group.scale[sub] = -magnitude - 1 if negative else magnitude
        else:
            group.scale[sub] = unfold(symbol, predicted, 0, form.scale_bits)
        return group.scale[sub] - predicted

    def minimum(self, base, group, sub, residual):
        bits = self.form.min_bits
        step, quarter = (group.min[sub - 1] if sub else 0), 0
        if self.same:
            a = times(f16(base.m[0]), base.min[sub])
            step, quarter = split(ratio(a, f16(group.m[0]), 1 << 28))
        predicted = clamp(step, 0, (1 << bits) - 1)
        context = quarter + 4 * (clamp(residual, -3, 3) + 3) + 28 * (predicted >> bits - 3)
        group.min[sub] = unfold(self.s.streams[MIN].read(context), predicted, 0, bits)

    def quants(self, units, levels, group, sub):
        form = self.form
        slope, offset = slope_of(form, group, sub), offset_of(form, group, sub)
        l = clamp(level(slope) - self.noise + 4, 0, 16)
        low, high = form.low, form.low + (1 << form.bits) - 1
        for i in range(sub * form.sub, (sub + 1) * form.sub):
            if i % 16 == 0:
                base_slope, base_offset = units[i // 16]
                r = ratio(base_slope, slope, 1 << 19)
                o = clamp(ratio(base_offset, slope, 1 << 28) - ratio(offset, slope, 1 << 28),
                          -(1 << 28), 1 << 28)
            p = r * levels[i] + o
            if form.codebook:
                predicted, quarter, edge = codebook_place(p)
            else:
                step, quarter = split(p)
                predicted = clamp(step, low, high)
                edge = (1 if step == low else 2 if step == high else 3 if step < low else
                        4 if step > high else 0)
            symbol = self.s.streams[QUANT].read(20 * l + quarter + 4 * edge)
            group.quant.append(unfold(symbol, predicted, low, form.bits))

    def fields(self, base_data, count):
        form, group = self.form, Group()
        units, levels, base = view_base(self.base_name, base_data, count)
        for i in range(count // 32 if form.scale_bits == 0 else 1):
            group.d.append(self.half(D, base.d[i] if self.same else self.last_d))
            self.last_d = group.d[-1]
            if form.m:
                group.m.append(self.half(M, base.m[i] if self.same else self.last_m))
                self.last_m = group.m[-1]
        for sub in range(count // form.sub):
            residual = self.scale(base, group, sub) if form.scale_bits else 0
            if form.min_bits:
                self.minimum(base, group, sub, residual)
            self.quants(units, levels, group, sub)
        return pack(self.name, group)

    def decode(self, weights, base, base_block):
        out, at = b"", 0
        for first in range(0, weights, 256):
            count = min(256, weights - first)
            size = count // base_block[1] * base_block[2]
            self.noise = self.s.streams[NOISE].read(self.noise // 4)
            data = base[at:at + size]
            out += data if self.noise == 0 else self.fields(data, count)
            at += size
        self.s.finish()
        return out


# Codec 2 ------------------------------------------------------------------------------------------

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


# Patches ------------------------------------------------------------------------------------------

def decode_frame(frame, payload, base):
    name, block_weights, block_bytes = BLOCKS[frame["target_type"]]
    size = frame["target_bytes"]
    if frame["method"] == 0:
        return payload
    if frame["method"] == 1:
        base_block = BLOCKS[frame["base_type"]]
        decoder = QuantDecoder(name, base_block[0], payload)
        return decoder.decode(size // block_bytes * block_weights, base, base_block)
    if frame["method"] == 2:
        if frame["base_type"] != frame["target_type"]:
            base = floats_of(name, BLOCKS[frame["base_type"]], base)
        return decode_floats(name, payload, base)
    planes = unzstd(payload, size)
    count = size // block_bytes
    out = bytearray(size)
    for p in range(block_bytes):
        out[p::block_bytes] = planes[p * count:(p + 1) * count]
    if frame["method"] == 3:
        out = bytes(a ^ b for a, b in zip(out, base))
    return bytes(out)


def read_patch(data):
    assert data[:8] == b"SGDELTA\0" and zlib.crc32(data[:60]) == struct.unpack_from("<I", data, 60)[0]
    version, crc, offset, stored, json_bytes, count, size, _ = struct.unpack_from("<IIQQQQQI", data, 8)
    assert version == 1 and size == len(data) and offset + stored == size
    assert zlib.crc32(data[offset:]) == crc
    directory = unzstd(data[offset:], json_bytes + 32 * count)
    frames = []
    for i in range(count):
        place, payload, frame_crc, target, kind, base_kind, method, _ = struct.unpack_from(
            "<QIIIHHII", directory, json_bytes + 32 * i)
        assert zlib.crc32(data[place:place + payload]) == frame_crc
        frames.append({"payload": data[place:place + payload], "target_bytes": target,
                       "target_type": kind, "method": method,
                       "base_type": None if base_kind == 0xffff else base_kind})
    return json.loads(directory[:json_bytes]), frames


def apply(base, patch):
    document, frames = read_patch(patch)
    base_header, base_tensors = parse_gguf(base)
    parts = {}  # frame: base bytes of its spans, in order
    for tensor in document["tensors"]:
        for span in tensor["spans"]:
            if len(span) < 3:
                continue
            frame = frames[span[2]]
            if frame["base_type"] is None:
                continue
            _, weights, size = BLOCKS[frame["target_type"]]
            _, base_weights, base_size = BLOCKS[frame["base_type"]]
            length = span[0] // size * weights // base_weights * base_size
            start = base_tensors[tensor["base"]][1] + span[1]
            parts.setdefault(span[2], []).append(base[start:start + length])
    decoded = {i: decode_frame(f, f["payload"], b"".join(parts.get(i, [])))
               for i, f in enumerate(frames) if f["method"] != 5}
    used = dict.fromkeys(decoded, 0)
    contents = {}
    for tensor in document["tensors"]:
        content = b""
        for span in tensor["spans"]:
            if len(span) == 2:
                start = base_tensors[tensor["base"]][1] + span[1]
                content += base[start:start + span[0]]
            else:
                at = used[span[2]]
                content += decoded[span[2]][at:at + span[0]]
                used[span[2]] += span[0]
        contents[tensor["tensor"]] = content
    assert len(document["target"]["files"]) == 1, "split models are not handled here"
    file = document["target"]["files"][0]
    header = unzstd(frames[file["header"]["frame"]]["payload"], file["header"]["bytes"], base_header)
    out = bytearray(file["bytes"])
    out[:len(header)] = header
    for name, (_, offset, size) in parse_gguf(header)[1].items():
        if name not in contents:
            start = base_tensors[name][1]
            contents[name] = base[start:start + size]
        assert len(contents[name]) == size
        out[offset:offset + size] = contents[name]
    for gap in file.get("gaps", []):
        out[gap["offset"]:gap["offset"] + gap["bytes"]] = decoded[gap["frame"]]
    assert hashlib.sha256(out).hexdigest() == file["sha256"], "not the target"
    return bytes(out)


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as base_file, open(sys.argv[2], "rb") as patch_file:
        result = apply(base_file.read(), patch_file.read())
    with open(sys.argv[3], "wb") as out_file:
        out_file.write(result)
