#!/usr/bin/env python3
"""Copies a GGUF with every tensor N times, so that rates of small models can be measured.

  bench/repeat_gguf.py IN OUT N
"""
import dataclasses
import sys

from gguf_file import header_bytes, read_header


def main():
    times = int(sys.argv[3])
    with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
        header = read_header(source)
        source.seek(header.data_offset)
        data = source.read()
        data += bytes(-len(data) % header.alignment)
        header.tensors = [
            dataclasses.replace(tensor, name=f"{tensor.name}.{copy}" if copy else tensor.name,
                                offset=tensor.offset + copy * len(data))
            for copy in range(times) for tensor in header.tensors]
        target.write(header_bytes(header))
        for _ in range(times):
            target.write(data)


if __name__ == "__main__":
    main()
