"""Codec 1: quantized blocks, predicted from the base's weights."""
from decoder_blocks import (
    CODEBOOK, FORMATS, Group, clamp, f16, level, pack, ratio, split, times, trunc_div, u16, unpack)
from decoder_streams import Streams, unfold


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
