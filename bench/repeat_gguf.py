#!/usr/bin/env python3
"""Copies a GGUF with every tensor N times, so that rates of small models can be measured.

  bench/repeat_gguf.py IN OUT N
"""
import struct
import sys

from edit_gguf import Reader, packed


def read_header(source):
    """Bytes up to the tensor table, tensors as (name, shape and type, offset), offset of the data, alignment."""
    reader = Reader(source)
    _, _, tensor_count, key_count = struct.unpack("<IIQQ", source.read(24))
    alignment = 32
    for _ in range(key_count):
        key, kind = reader.string(), reader.number("I")
        value = source.tell()
        reader.skip(kind)
        end = source.tell()
        if key == "general.alignment":
            source.seek(value)
            alignment = reader.number("I")
            source.seek(end)
    infos, tensors = source.tell(), []
    for _ in range(tensor_count):
        name = reader.string()
        start = source.tell()
        source.seek(8 * reader.number("I") + 4, 1)
        end = source.tell()
        source.seek(start)
        tensors.append((name, source.read(end - start), reader.number("Q")))
    end = source.tell()
    source.seek(0)
    return source.read(infos), tensors, -(-end // alignment) * alignment, alignment


def main():
    times = int(sys.argv[3])
    with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
        start, tensors, data_offset, alignment = read_header(source)
        source.seek(data_offset)
        data = source.read()
        data += bytes(-len(data) % alignment)
        target.write(start[:8] + struct.pack("<Q", len(tensors) * times) + start[16:])
        for copy in range(times):
            for name, middle, offset in tensors:
                new_name = f"{name}.{copy}" if copy else name
                target.write(packed(new_name) + middle + struct.pack("<Q", offset + copy * len(data)))
        target.write(bytes(-target.tell() % alignment))
        for _ in range(times):
            target.write(data)


if __name__ == "__main__":
    main()
