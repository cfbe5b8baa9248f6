"""Block formats of the decoder: types, exact arithmetic on scales, blocks as fields and back."""

BLOCKS = {  # type id: (name, weights, bytes)
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2),
    26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
}
CODEBOOK = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]


class Format:
    """A row of the table of codec 1."""

    def __init__(self, sub, bits, low, scale_bits=0, signed=False, m=0, min_bits=0, codebook=False):
        self.sub, self.bits, self.low = sub, bits, low
        self.scale_bits, self.signed, self.m = scale_bits, signed, m
        self.min_bits, self.codebook = min_bits, codebook


FORMATS = {
    "Q4_0": Format(32, 4, -8), "Q4_1": Format(32, 4, 0, m=1), "Q5_0": Format(32, 5, -16),
    "Q5_1": Format(32, 5, 0, m=1), "Q8_0": Format(32, 8, -128),
    "IQ4_NL": Format(32, 4, 0, codebook=True),
    "Q2_K": Format(16, 2, 0, 4, m=-1, min_bits=4), "Q3_K": Format(16, 3, -4, 6, signed=True),
    "Q4_K": Format(32, 4, 0, 6, m=-1, min_bits=6), "Q5_K": Format(32, 5, 0, 6, m=-1, min_bits=6),
    "Q6_K": Format(16, 6, -32, 8, signed=True),
    "IQ4_XS": Format(32, 4, 0, 6, signed=True, codebook=True),
}


# Arithmetic ---------------------------------------------------------------------------------------

def clamp(x, low, high):
    return max(low, min(high, x))


def trunc_div(a, b):
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def f16(bits):
    e, f = bits >> 10 & 31, bits & 1023
    magnitude, exponent = (f, -24) if e == 0 else (1024 + f, e - 25)
    return (-magnitude if bits & 0x8000 else magnitude), exponent


def times(scale, factor):
    return scale[0] * factor, scale[1]


def ratio(a, b, limit):
    if a[0] == 0 or b[0] == 0:
        return 0
    shift = a[1] - b[1] + 12
    if shift < -38:
        return 0
    if shift > 38:
        return limit if (a[0] < 0) == (b[0] < 0) else -limit
    up, down = max(shift, 0), max(-shift, 0)
    return clamp(trunc_div(a[0] << up, b[0] << down), -limit, limit)


def level(a):
    m = abs(a[0])
    if m == 0:
        return 1
    o = m.bit_length() - 1
    return clamp(2 * (o + a[1]) + (1 if m * m >= 1 << (2 * o + 1) else 0) + 128, 1, 255)


def split(p):
    q = (p + 512) >> 10
    return (q + 2) >> 2, (q + 2) & 3


# Blocks as fields ---------------------------------------------------------------------------------

def halves(qs):
    return [b & 15 for b in qs] + [b >> 4 for b in qs]


def join_halves(quants):
    return bytes(quants[i] | quants[i + 16] << 4 for i in range(16))


class Group:
    def __init__(self):
        self.d, self.m, self.scale, self.min, self.quant = [], [], [0] * 16, [0] * 16, []


def u16(data, at):
    return int.from_bytes(data[at:at + 2], "little")


def unpack_small(name, form, data, group):
    _, _, size = BLOCKS[next(k for k, v in BLOCKS.items() if v[0] == name)]
    for at in range(0, len(data), size):
        block = data[at:at + size]
        group.d.append(u16(block, 0))
        at_quants = 2
        if form.m:
            group.m.append(u16(block, 2))
            at_quants = 4
        if name == "Q8_0":
            group.quant += [b - 256 if b > 127 else b for b in block[2:]]
            continue
        if form.bits == 5:
            high = int.from_bytes(block[at_quants:at_quants + 4], "little")
            quants = halves(block[at_quants + 4:])
            quants = [q + 16 * (high >> i & 1) for i, q in enumerate(quants)]
        else:
            quants = halves(block[at_quants:])
        group.quant += [q + form.low for q in quants]


def pack_small(name, form, group):
    out = b""
    for i in range(len(group.d)):
        quants = group.quant[32 * i:32 * i + 32]
        out += group.d[i].to_bytes(2, "little")
        if form.m:
            out += group.m[i].to_bytes(2, "little")
        if name == "Q8_0":
            out += bytes(q & 255 for q in quants)
            continue
        quants = [q - form.low for q in quants]
        if form.bits == 5:
            out += sum((q >> 4) << w for w, q in enumerate(quants)).to_bytes(4, "little")
        out += join_halves([q & 15 for q in quants])
    return out


def pairs(qs):
    return [qs[n * 32 + l] >> 2 * j & 3 for n in range(2) for j in range(4) for l in range(32)]


def join_pairs(quants):
    return bytes(sum(quants[n * 128 + j * 32 + l] << 2 * j for j in range(4))
                 for n in range(2) for l in range(32))


def unpack(name, data):
    group, form = Group(), FORMATS[name]
    if name == "Q2_K":
        group.scale, group.min = [b & 15 for b in data[:16]], [b >> 4 for b in data[:16]]
        group.quant = pairs(data[16:80])
        group.d, group.m = [u16(data, 80)], [u16(data, 82)]
    elif name == "Q3_K":
        low = pairs(data[32:96])
        group.quant = [q + 4 * (data[i % 32] >> (i // 32) & 1) - 4 for i, q in enumerate(low)]
        s = data[96:108]
        group.scale = [((s[j % 8] >> (0 if j < 8 else 4) & 15) |
                        (s[8 + j % 4] >> 2 * (j // 4) & 3) << 4) - 32 for j in range(16)]
        group.d = [u16(data, 108)]
    elif name in ("Q4_K", "Q5_K"):
        group.d, group.m = [u16(data, 0)], [u16(data, 2)]
        s = data[4:16]
        for j in range(4):
            group.scale[j], group.min[j] = s[j] & 63, s[j + 4] & 63
            group.scale[j + 4] = (s[j + 8] & 15) | (s[j] >> 6) << 4
            group.min[j + 4] = (s[j + 8] >> 4) | (s[j + 4] >> 6) << 4
        qs = data[16:] if name == "Q4_K" else data[48:]
        group.quant = [qs[32 * (j // 2) + l] >> 4 * (j % 2) & 15
                       for j in range(8) for l in range(32)]
        if name == "Q5_K":
            group.quant = [q + 16 * (data[16 + i % 32] >> (i // 32) & 1)
                           for i, q in enumerate(group.quant)]
    elif name == "Q6_K":
        for h in range(2):
            for j in range(4):
                for l in range(32):
                    low = data[64 * h + 32 * (j % 2) + l] >> 4 * (j // 2) & 15
                    high = data[128 + 32 * h + l] >> 2 * j & 3
                    group.quant.append((low | high << 4) - 32)
        group.scale = [b - 256 if b > 127 else b for b in data[192:208]]
        group.d = [u16(data, 208)]
    elif name == "IQ4_XS":
        group.d = [u16(data, 0)]
        high = u16(data, 2)
        for j in range(8):
            group.scale[j] = ((data[4 + j // 2] >> 4 * (j % 2) & 15) |
                              (high >> 2 * j & 3) << 4) - 32
            group.quant += halves(data[8 + 16 * j:24 + 16 * j])
    else:
        unpack_small(name, form, data, group)
    return group


def pack(name, group):
    form = FORMATS[name]
    d = group.d[0].to_bytes(2, "little")
    m = group.m[0].to_bytes(2, "little") if group.m else b""
    q, s, n = group.quant, group.scale, group.min
    if name == "Q2_K":
        return bytes(s[j] | n[j] << 4 for j in range(16)) + join_pairs(q) + d + m
    if name == "Q3_K":
        q = [x + 4 for x in q]
        mask = bytes(sum((q[nj * 32 + l] >> 2) << nj for nj in range(8)) for l in range(32))
        packed = [0] * 12
        for j in range(16):
            value = s[j] + 32
            packed[j % 8] |= (value & 15) << (0 if j < 8 else 4)
            packed[8 + j % 4] |= (value >> 4) << 2 * (j // 4)
        return mask + join_pairs([x & 3 for x in q]) + bytes(packed) + d
    if name in ("Q4_K", "Q5_K"):
        packed = [0] * 12
        for j in range(4):
            packed[j] = s[j] | (s[j + 4] >> 4) << 6
            packed[j + 4] = n[j] | (n[j + 4] >> 4) << 6
            packed[j + 8] = (s[j + 4] & 15) | (n[j + 4] & 15) << 4
        high = b""
        if name == "Q5_K":
            high = bytes(sum((q[32 * j + l] >> 4) << j for j in range(8)) for l in range(32))
        low = bytes((q[64 * j + l] & 15) | (q[64 * j + 32 + l] & 15) << 4
                    for j in range(4) for l in range(32))
        return d + m + bytes(packed) + high + low
    if name == "Q6_K":
        q = [x + 32 for x in q]
        low = bytes((q[128 * h + 32 * j + l] & 15) | (q[128 * h + 32 * (j + 2) + l] & 15) << 4
                    for h in range(2) for j in range(2) for l in range(32))
        high = bytes(sum((q[128 * h + 32 * j + l] >> 4) << 2 * j for j in range(4))
                     for h in range(2) for l in range(32))
        return low + high + bytes(x & 255 for x in s) + d
    if name == "IQ4_XS":
        low, high = [0] * 4, 0
        for j in range(8):
            value = s[j] + 32
            low[j // 2] |= (value & 15) << 4 * (j % 2)
            high |= (value >> 4) << 2 * j
        return (d + high.to_bytes(2, "little") + bytes(low) +
                b"".join(join_halves(q[32 * j:32 * j + 32]) for j in range(8)))
    return pack_small(name, form, group)
