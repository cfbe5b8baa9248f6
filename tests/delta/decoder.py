#!/usr/bin/env python3
"""A second reader of .sgdelta patches, written from docs/FORMAT-DELTA.md alone.

    decoder.py BASE.gguf PATCH.sgdelta OUT.gguf

For tests: it is slow, holds everything in memory, handles single-file GGUF bases, and trusts what
the checksums vouch for. Needs the standard library and the system's libzstd (through ctypes). Here
is the patch as a whole; files, streams and codecs are in decoder_*.py beside it.
"""
import hashlib
import json
import struct
import sys
import zlib

from decoder_blocks import BLOCKS
from decoder_files import parse_gguf, unzstd
from decoder_floats import decode_floats, floats_of
from decoder_quants import QuantDecoder


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
