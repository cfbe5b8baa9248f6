#!/usr/bin/env python3
"""Copies a GGUF with another name and chat template and, with --tensors N, a few changed bytes in N tensors.

  bench/edit_gguf.py IN OUT [--tensors N]

Every byte of the tensor data moves, as it does when a model is uploaded again. The lowest bit of one byte in each
of three places of a changed tensor is flipped, far from its block scales for all common types.
"""
import argparse
import struct

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
COPY_BYTES = 8 << 20
NEW = {
    "general.name": "another name",
    "tokenizer.chat_template": "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}" * 20,
}


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


def packed(text):
    data = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(data)) + data


def new_header(source):
    """Header bytes of the copy, offset of the data in the source, offsets of the tensors in the data."""
    reader = Reader(source)
    magic, version, tensor_count, key_count = struct.unpack("<IIQQ", source.read(24))
    pairs, alignment = [], 32
    for _ in range(key_count):
        start = source.tell()
        key, kind = reader.string(), reader.number("I")
        value = source.tell()
        reader.skip(kind)
        end = source.tell()
        if key == "general.alignment":
            source.seek(value)
            alignment = reader.number("I")
        source.seek(start)
        data = source.read(end - start)
        if key not in NEW:
            pairs.append(data)
    pairs += [packed(key) + struct.pack("<I", STRING) + packed(text) for key, text in NEW.items()]
    infos, offsets = source.tell(), []
    for _ in range(tensor_count):
        reader.string()
        source.seek(8 * reader.number("I") + 4, 1)
        offsets.append(reader.number("Q"))
    end = source.tell()
    source.seek(infos)
    header = struct.pack("<IIQQ", magic, version, tensor_count, len(pairs)) + b"".join(pairs) + source.read(end - infos)
    return header + bytes(-len(header) % alignment), -(-end // alignment) * alignment, sorted(offsets)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--tensors", type=int, default=0)
    arguments = parser.parse_args()
    with open(arguments.input, "rb") as source, open(arguments.output, "wb+") as target:
        header, data_offset, offsets = new_header(source)
        target.write(header)
        source.seek(data_offset)
        while chunk := source.read(COPY_BYTES):
            target.write(chunk)
        step = max(len(offsets) // (arguments.tensors or 1), 1)
        for offset in offsets[::step][: arguments.tensors]:
            for place in (25, 5 * 4096 + 25, 9 * 4096 + 25):
                target.seek(len(header) + offset + place)
                byte = target.read(1)
                target.seek(-1, 1)
                target.write(bytes([byte[0] ^ 1]))


if __name__ == "__main__":
    main()
