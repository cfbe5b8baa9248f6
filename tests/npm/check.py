"""A core is a valid GGUF for a reader that is not ours: the npm package @huggingface/gguf.

check.py --program GGUF-SHARD --model MODEL.gguf --folder FOLDER

Installs the package into FOLDER (versions and hashes: package-lock.json), shards the model there,
and holds what the package reads from the core against the core's map. Exit codes: 0 passed,
1 failed, 77 skipped because Node.js 20, npm or the network is not there.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SKIPPED = 77
OLDEST_NODE = 20
PAGE_BYTES = 4096
I8 = 24  # tensor type id
INSTALL_SECONDS = 180


class Skipped(Exception):
    pass


def require_node():
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise Skipped(f"{tool} is not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.lstrip("v").split(".")[0]) < OLDEST_NODE:
        raise Skipped(f"Node.js {version.stdout.strip()}; the package needs {OLDEST_NODE}")


def install_package(folder):
    lock = (HERE / "package-lock.json").read_text()
    stamp = folder / "installed-lock.json"
    if stamp.exists() and stamp.read_text() == lock:
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name, folder / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline",
               "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000"]
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True,
                                timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise Skipped(f"npm did not answer within {INSTALL_SECONDS} seconds") from None
    if "EINTEGRITY" in result.stderr:
        raise AssertionError("the package is not the one that was pinned:\n" + result.stderr)
    if result.returncode != 0:
        raise Skipped("npm could not install the package:\n" + result.stderr)
    stamp.write_text(lock)


def shard(program, model, output):
    subprocess.run([program, "shard", model, "-o", output, "--quiet"], check=True)
    return output / "core.gguf", json.loads((output / "core.sgmap").read_text())


def read_with_package(folder, core):
    command = ["node", HERE / "read_gguf.mjs", folder, core]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise AssertionError("the package refuses the core:\n" + result.stderr)
    return json.loads(result.stdout)


def expect(what, found, expected):
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


def check_metadata(seen, core_map):
    expect("byte order", seen["littleEndian"], True)
    expect("data offset", seen["tensorDataOffset"], core_map["core"]["data_offset"])
    metadata = seen["metadata"]
    expect("version", metadata["version"], 3)
    expect("architecture", metadata["general.architecture"], "gguf_shard")
    expect("alignment", metadata["general.alignment"], PAGE_BYTES)
    expect("name", metadata["general.name"], core_map["source"]["name"])
    expect("core id", metadata["gguf_shard.core_id"], core_map["core"]["id"])
    expect("page size", metadata["gguf_shard.page_bytes"], PAGE_BYTES)
    expect("page count", metadata["gguf_shard.page_count"], core_map["core"]["page_count"])


def bytes_of(tensor):
    byte_count = 1
    for dimension in tensor["shape"]:
        byte_count *= dimension
    return byte_count


def check_tensors(seen, core_map, core_bytes):
    """Every tensor is I8 pages; together they fill the data section without a gap."""
    end = 0
    for tensor in seen["tensorInfos"]:
        expect(f"type of {tensor['name']}", tensor["dtype"], I8)
        expect(f"offset of {tensor['name']}", tensor["offset"], end)
        end += bytes_of(tensor)
    expect("end of the tensors", seen["tensorDataOffset"] + end, core_bytes)

    places = {t["name"]: (t["offset"], bytes_of(t)) for t in seen["tensorInfos"]}
    expect("number of names", len(places), len(seen["tensorInfos"]))
    with_pages = [s for s in core_map["shards"] if s["page_count"] != 0]
    if not with_pages:
        raise AssertionError("the map has no tensors: nothing was checked")
    for entry in with_pages:
        place = (entry["first_page"] * PAGE_BYTES, entry["page_count"] * PAGE_BYTES)
        expect(f"place of {entry['tensor']}", places.pop(entry["tensor"], None), place)
    ours = {name for name in places if name.startswith("gguf_shard.")}
    expect("tensors that are not in the map", set(places), ours)
    if "gguf_shard.source_header" not in ours or "gguf_shard.index" not in ours:
        raise AssertionError(f"source header or index is missing: {sorted(ours)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        require_node()
        install_package(arguments.folder)
    except Skipped as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        core, core_map = shard(arguments.program, arguments.model, Path(scratch))
        seen = read_with_package(arguments.folder, core)
        check_metadata(seen, core_map)
        check_tensors(seen, core_map, core.stat().st_size)
    print(f"{len(seen['tensorInfos'])} tensors and {len(seen['metadata'])} keys agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
