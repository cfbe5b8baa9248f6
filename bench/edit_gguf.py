#!/usr/bin/env python3
"""Copies a GGUF with another name and chat template and, with --tensors N, a few changed bytes in N tensors.

  bench/edit_gguf.py IN OUT [--tensors N]

Every byte of the tensor data moves, as it does when a model is uploaded again. The lowest bit of one byte in each
of three places of a changed tensor is flipped, far from its block scales for all common types.
"""
import argparse

from gguf_file import header_bytes, packed_pair, read_header

COPY_BYTES = 8 << 20
NEW = {
    "general.name": "another name",
    "tokenizer.chat_template": "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}" * 20,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--tensors", type=int, default=0)
    arguments = parser.parse_args()
    with open(arguments.input, "rb") as source, open(arguments.output, "wb+") as target:
        header = read_header(source)
        header.pairs = [pair for pair in header.pairs if pair[0] not in NEW]
        header.pairs += [packed_pair(key, text) for key, text in NEW.items()]
        start, offsets = header_bytes(header), sorted(tensor.offset for tensor in header.tensors)
        target.write(start)
        source.seek(header.data_offset)
        while chunk := source.read(COPY_BYTES):
            target.write(chunk)
        step = max(len(offsets) // (arguments.tensors or 1), 1)
        for offset in offsets[::step][: arguments.tensors]:
            for place in (25, 5 * 4096 + 25, 9 * 4096 + 25):
                target.seek(len(start) + offset + place)
                byte = target.read(1)
                target.seek(-1, 1)
                target.write(bytes([byte[0] ^ 1]))


if __name__ == "__main__":
    main()
