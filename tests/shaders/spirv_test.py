"""Every embedded shader is valid SPIR-V for Vulkan 1.2, those included that no device here runs.

    spirv_test.py SHADER_FOLDER

Skipped (77) without spirv-val.
"""

import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

SKIPPED = 77


def problem_of(listing):
    """What spirv-val says of a shader's words, which glslc wrote as a list of numbers."""
    words = [int(word, 0) for word in listing.read_text().split(",") if word.strip()]
    with tempfile.NamedTemporaryFile(suffix=".spv") as file:
        file.write(struct.pack(f"<{len(words)}I", *words))
        file.flush()
        result = subprocess.run(["spirv-val", "--target-env", "vulkan1.2", file.name],
                                capture_output=True, text=True, check=False)
    return "" if result.returncode == 0 else result.stdout + result.stderr


def main():
    if shutil.which("spirv-val") is None:
        print("spirv-val is not installed (spirv-tools)")
        sys.exit(SKIPPED)
    listings = sorted(Path(sys.argv[1]).glob("*/*.inc"))
    if not listings:
        sys.exit(f"no shaders below {sys.argv[1]}")
    problems = [f"{listing.parent.name}/{listing.stem}: {problem}"
                for listing in listings if (problem := problem_of(listing))]
    print("\n".join(problems) or f"{len(listings)} shaders are valid")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
