"""The parts of a GGUF that the benchmarks' scripts copy or change: key/value pairs as bytes, and the tensor table."""
import dataclasses
import struct

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9


@dataclasses.dataclass
class Tensor:
    name: str
    shape: list
    kind: int
    offset: int  # in the data section


@dataclasses.dataclass
class Header:
    version: int
    pairs: list  # (key, the whole pair's bytes)
    tensors: list
    alignment: int
    data_offset: int


class Reader:
    def __init__(self, file):
        self.file = file

    def number(self, form):
        return struct.unpack("<" + form, self.file.read(struct.calcsize(form)))[0]

    def string(self):
        return self.file.read(self.number("Q")).decode("utf-8", "surrogateescape")

    def skip(self, kind):
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            inner, count = self.number("I"), self.number("Q")
            for _ in range(count if inner in (STRING, ARRAY) else 0):
                self.skip(inner)
            if inner not in (STRING, ARRAY):
                self.file.seek(SIZES[inner] * count, 1)
        else:
            self.file.seek(SIZES[kind], 1)

    def pair(self):
        """The key, the bytes of its value, the bytes of both."""
        start = self.file.tell()
        key, kind = self.string(), self.number("I")
        value = self.file.tell()
        self.skip(kind)
        end = self.file.tell()
        self.file.seek(start)
        data = self.file.read(end - start)
        return key, data[value - start:], data

    def tensor(self):
        name = self.string()
        shape = [self.number("Q") for _ in range(self.number("I"))]
        return Tensor(name, shape, self.number("I"), self.number("Q"))


def packed(text):
    data = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(data)) + data


def packed_pair(key, text):
    return key, packed(key) + struct.pack("<I", STRING) + packed(text)


def read_header(source):
    reader = Reader(source)
    _, version, tensor_count, pair_count = struct.unpack("<IIQQ", source.read(24))
    pairs, alignment = [], 32
    for _ in range(pair_count):
        key, value, data = reader.pair()
        pairs.append((key, data))
        if key == "general.alignment":
            alignment = struct.unpack("<I", value)[0]
    tensors = [reader.tensor() for _ in range(tensor_count)]
    return Header(version, pairs, tensors, alignment, -(-source.tell() // alignment) * alignment)


def header_bytes(header):
    """With the padding before the data."""
    parts = [b"GGUF", struct.pack("<IQQ", header.version, len(header.tensors), len(header.pairs))]
    parts += [data for _, data in header.pairs]
    for tensor in header.tensors:
        parts.append(packed(tensor.name) + struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape))
        parts.append(struct.pack("<IQ", tensor.kind, tensor.offset))
    size = sum(len(part) for part in parts)
    return b"".join(parts) + bytes(-size % header.alignment)
