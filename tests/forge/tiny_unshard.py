"""Reconstructs the source files of a core: a second decoder, written from docs/FORMAT-CORE.md and
docs/FORMAT-MAP.md alone. Slow and small; it trusts its input. Exits with 1 when a tag or a SHA-256
is wrong.

tiny_unshard.py CORE.sgmap OUTPUT_FOLDER
"""

import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path

PAGE, CONTENT = 4096, 4088
#        weights, bytes, offset and bytes of the short field
TYPES = {
    "F32": (1, 4, 0, 0), "F16": (1, 2, 0, 2), "BF16": (1, 2, 0, 2),
    "Q4_0": (32, 18, 0, 2), "IQ4_NL": (32, 18, 0, 2), "Q4_1": (32, 20, 0, 0),
    "Q5_0": (32, 22, 0, 2), "Q5_1": (32, 24, 0, 0), "Q8_0": (32, 34, 0, 2),
    "MXFP4": (32, 17, 0, 1), "Q2_K": (256, 84, 0, 0), "Q3_K": (256, 110, 108, 2),
    "Q4_K": (256, 144, 0, 0), "Q5_K": (256, 176, 0, 0), "Q6_K": (256, 210, 208, 2),
    "IQ4_XS": (256, 136, 0, 0),
}


class Core:
    def __init__(self, path, core):
        self.bytes = path.read_bytes()
        self.id, self.data_offset = bytes.fromhex(core["id"]), core["data_offset"]

    def contents(self, first_page, page_count):
        """The contents of pages, their tags checked."""
        for index in range(first_page, first_page + page_count):
            start = self.data_offset + index * PAGE
            content, tag = self.bytes[start:start + CONTENT], self.bytes[start + CONTENT:start + PAGE]
            crc = zlib.crc32(content, zlib.crc32(self.id[:8] + struct.pack("<Q", index)))
            if tag != struct.pack("<I", crc) + b"PGCR":
                sys.exit(f"page {index} fails its tag")
            yield content

    def plain(self, entry):
        return b"".join(self.contents(entry["first_page"], entry["page_count"]))[:entry["bytes"]]


def rows_of(pages, rows, per_page, block_bytes, row_bytes):
    """row_major: whole blocks, page after page."""
    data = b"".join(page[:per_page * block_bytes] for page in pages)
    return data[:rows * row_bytes]


def tiles_of(pages, shard, rows, row_bytes):
    """column_major: blocks put together from the planes of their tiles."""
    weights, size, short_at, short_bytes = TYPES[shard["type"]]
    tile_rows, per_tile = shard["tile"]["rows"], shard["tile"]["columns"] // weights
    words, blocks = (size - short_bytes) // 4, row_bytes // size
    tiles = -(-blocks // per_tile)
    out = bytearray(rows * row_bytes)
    for number, page in enumerate(pages):
        first_row, first_block = number // tiles * tile_rows, number % tiles * per_tile
        for r in range(min(tile_rows, rows - first_row)):
            for k in range(min(per_tile, blocks - first_block)):
                block = b"".join(page[((k * words + w) * tile_rows + r) * 4:][:4]
                                 for w in range(words))
                short = page[per_tile * words * tile_rows * 4 +
                             (k * tile_rows + r) * short_bytes:][:short_bytes]
                at = (first_row + r) * row_bytes + (first_block + k) * size
                out[at:at + size] = block[:short_at] + short + block[short_at:]
    return bytes(out)


def tensor_of(core, shard):
    slices = shard.get("expert_count", 1)
    slice_bytes = shard["source"]["bytes"] // slices
    if slice_bytes == 0:
        return b""
    weights, size = TYPES[shard["type"]][:2]
    row_bytes = (shard["shape"] or [1])[0] // weights * size
    stride = shard["page_count"] // slices
    parts = []
    for expert in range(slices):
        pages = core.contents(shard["first_page"] + expert * stride, stride)
        rows = slice_bytes // row_bytes
        if shard["layout"] == "column_major":
            parts.append(tiles_of(pages, shard, rows, row_bytes))
        else:
            parts.append(rows_of(pages, rows, CONTENT // size, size, row_bytes))
    return b"".join(parts)


def main():
    map_path, folder = Path(sys.argv[1]), Path(sys.argv[2])
    document = json.loads(map_path.read_text())
    core = Core(map_path.parent / document["core"]["file"], document["core"])
    files = [bytearray(file["bytes"]) for file in document["source"]["files"]]
    for file, out in zip(document["source"]["files"], files):
        out[:file["header"]["bytes"]] = core.plain(file["header"])
        for gap in file["gaps"]:
            out[gap["source_offset"]:gap["source_offset"] + gap["bytes"]] = core.plain(gap)
    for shard in document["shards"]:
        place = shard["source"]
        files[place["file"]][place["offset"]:place["offset"] + place["bytes"]] = tensor_of(core, shard)
    folder.mkdir(parents=True, exist_ok=True)
    for file, out in zip(document["source"]["files"], files):
        if hashlib.sha256(out).hexdigest() != file["sha256"]:
            sys.exit(f"{file['name']} has another SHA-256 than the map says")
        (folder / file["name"]).write_bytes(out)


if __name__ == "__main__":
    main()
