"""What the decoder reads with: zstd through the system's library, and the tables of a GGUF."""
import ctypes
import ctypes.util
import struct

from decoder_blocks import BLOCKS


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
