"""Module walls: which module may include which, and who may see Vulkan."""

from pathlib import Path

from tree import MODULES, Problem

VULKAN_HEADERS = ("vulkan/", "volk", "vk_mem_alloc", "vma/")
PUBLIC_HEADERS = "include/gguf_shard/"


def check_walls(tree):
    problems = []
    for path in tree.code_paths():
        for include in tree.includes(path):
            problems += check_include(tree, path, include)
    return problems


def check_include(tree, path, include):
    if is_vulkan(include.target) and not may_see_vulkan(path):
        yield Problem(path, include.line,
                      f"only gpu/, atlas/vulkan* and kernels/vulkan include {include.target}")
    if not include.quoted:
        return
    if not tree.exists(include.target):
        yield Problem(path, include.line,
                      f'"{include.target}" is no path from the repository\'s root')
        return
    module, target = top_folder(path), top_folder(include.target)
    if module not in MODULES or target == module or include.target.startswith(PUBLIC_HEADERS):
        return
    if target not in MODULES[module]:
        allowed = ", ".join(sorted(MODULES[module])) or "no other module"
        yield Problem(path, include.line, f"{module} may include {allowed}; not {target}")


def check_links(tree):
    """gs_module(NAME DEPENDS gs_X ...) in CMakeLists.txt keeps to the same walls."""
    for number, line in enumerate(tree.lines("CMakeLists.txt"), start=1):
        if not line.startswith("gs_module("):
            continue
        name, *words = line.removeprefix("gs_module(").rstrip(")").split()
        for word in words:
            target = word.removeprefix("gs_")
            if target in MODULES and target not in MODULES[name]:
                yield Problem("CMakeLists.txt", number, f"{name} must not link {target}")


def is_vulkan(target):
    return target.startswith(VULKAN_HEADERS)


def may_see_vulkan(path):
    parts = Path(path).parts
    if parts[0] == "tests":
        parts = parts[1:]
    return (
        parts[0] == "gpu"
        or parts[:2] == ("kernels", "vulkan")
        or (parts[0] == "atlas" and len(parts) > 1 and parts[1].startswith("vulkan"))
    )


def top_folder(path):
    return Path(path).parts[0]
