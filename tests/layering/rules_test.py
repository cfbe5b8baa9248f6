"""The rules themselves, on small trees that keep or break them."""

import tempfile
import unittest
from pathlib import Path

import documents
import names
import style
import walls
from tree import Tree


class RulesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def write(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def problems(self, rule):
        return [str(problem) for problem in rule(Tree(self.root))]

    # Walls

    def test_an_include_along_the_arrows_is_fine(self):
        self.write("core/page.h", "// Page.\n#pragma once\n")
        self.write("forge/pack.cc", '#include <vector>\n#include "core/page.h"\n')
        self.assertEqual(self.problems(walls.check_walls), [])

    def test_an_include_against_the_arrows_is_named(self):
        self.write("forge/pack.h", "// Pack.\n#pragma once\n")
        self.write("core/page.cc", '\n#include "forge/pack.h"\n')
        self.assertEqual(
            self.problems(walls.check_walls),
            ["core/page.cc:2: core may include no other module; not forge"],
        )

    def test_siblings_do_not_include_each_other(self):
        self.write("delta/diff.h", "// Diff.\n#pragma once\n")
        self.write("forge/pack.cc", '#include "delta/diff.h"\n')
        self.assertEqual(len(self.problems(walls.check_walls)), 1)

    def test_every_module_may_include_the_public_header_and_tests_may_include_all(self):
        self.write("include/gguf_shard/atlas.h", "// C API.\n#pragma once\n")
        self.write("atlas/c_api.cc", '#include "include/gguf_shard/atlas.h"\n')
        self.write("cli/run.h", "// Run.\n#pragma once\n")
        self.write("tests/cli/run_test.cc", '#include "cli/run.h"\n')
        self.assertEqual(self.problems(walls.check_walls), [])

    def test_an_include_that_is_not_relative_to_the_root_is_named(self):
        self.write("core/page.h", "// Page.\n#pragma once\n")
        self.write("core/page.cc", '#include "page.h"\n')
        self.assertEqual(len(self.problems(walls.check_walls)), 1)

    def test_vulkan_is_seen_only_by_its_three_places(self):
        for path in ("gpu/device.cc", "atlas/vulkan_pool.cc", "kernels/vulkan/matmul.cc"):
            self.write(path, "#include <vulkan/vulkan.h>\n")
        self.write("runtime/engine.cc", "#include <vulkan/vulkan.h>\n")
        self.write("kernels/cpu/matmul.cc", "#include <volk.h>\n")
        found = self.problems(walls.check_walls)
        self.assertEqual([line.split(":")[0] for line in found],
                         ["kernels/cpu/matmul.cc", "runtime/engine.cc"])

    def test_libraries_are_linked_along_the_arrows(self):
        self.write("CMakeLists.txt", "gs_module(core DEPENDS fmt::fmt)\n"
                                     "gs_module(forge DEPENDS gs_core gs_delta)\n")
        self.assertEqual(self.problems(walls.check_links),
                         ["CMakeLists.txt:2: forge must not link delta"])

    # Style

    def test_a_long_file_is_named(self):
        self.write("core/short.cc", "int x;\n" * style.MAX_FILE_LINES)
        self.write("core/long.cc", "int x;\n" * (style.MAX_FILE_LINES + 1))
        self.assertEqual(self.problems(style.check_file_lengths),
                         ["core/long.cc:601: 601 lines; a file has at most 600"])

    def test_a_long_function_is_named_by_its_first_line(self):
        body = "  Step();\n" * (style.MAX_FUNCTION_LINES - 2)
        self.write("core/ok.cc", "namespace a {\n\nint Long(int x,\n         int y) {\n"
                   + body[len("  Step();\n"):] + "}\n\n}  // namespace a\n")
        self.assertEqual(self.problems(style.check_function_lengths), [])
        self.write("core/bad.cc", "void Ok() {}\n\nvoid Long() {\n" + body + "  Step();\n}\n")
        self.assertEqual(self.problems(style.check_function_lengths),
                         ["core/bad.cc:3: a function of 71 lines; at most 70"])

    def test_a_long_table_is_no_function(self):
        self.write("core/table.cc", "const int kTable[] = {\n" + "  1,\n" * 100 + "};\n")
        self.assertEqual(self.problems(style.check_function_lengths), [])

    def test_a_header_without_opening_comment_or_guard_is_named(self):
        self.write("core/good.h", "// Purpose. Thread-safe.\n#pragma once\n")
        self.write("core/bad.h", "int Purpose();\n")
        self.assertEqual(len(self.problems(style.check_headers)), 2)

    def test_a_header_says_whether_threads_may_share_it(self):
        self.write("core/good.h", "// Purpose.\n// Thread-safe.\n#pragma once\n")
        self.write("core/bad.h", "// Purpose.\n#pragma once\n// Thread-safe.\n")
        self.assertEqual(self.problems(style.check_thread_safety_is_stated),
                         ["core/bad.h:1: the opening comment says nothing about threads"])

    def test_unfinished_work_is_named(self):
        self.write("core/a.cc", "// all done\n// TO" "DO: the rest\n")
        self.write("core/b.cc", 'mkdtemp("x-XXXXXX");\n')
        self.assertEqual(len(self.problems(style.check_unfinished_work)), 1)

    def test_paths_of_one_machine_are_named(self):
        self.write("docs/a.md", "see /" "home/ann/models/x.gguf\nsee /usr/share/doc and a/home/b\n")
        found = self.problems(style.check_machine_paths)
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0].startswith("docs/a.md:1:"))

    # Documents

    def test_broken_links_and_anchors_are_named(self):
        self.write("README.md", "[a](docs/a.md) [b](docs/none.md) [c](docs/a.md#the-page-4-kb)\n"
                                "[d](docs/a.md#nowhere) [e](https://example.org/x)\n")
        self.write("docs/a.md", "# The page, 4 KB\n")
        self.assertEqual(self.problems(documents.check_links_in_documents), [
            "README.md:1: the link docs/none.md leads nowhere",
            "README.md:2: the link docs/a.md#nowhere leads nowhere",
        ])

    def test_installed_and_explained_packages_are_the_same(self):
        self.write("scripts/packages.sh", "PACKAGES=(\n  # tools\n  g++ cmake\n  libfmt-dev\n)\n")
        self.write("docs/DEPENDENCIES.md", "| `g++` | x |\n| `cmake` | x |\n| `libold-dev` | x |\n")
        missing, surplus = self.problems(documents.check_packages_are_explained)
        self.assertIn("DEPENDENCIES.md:1: does not explain libfmt-dev", missing)
        self.assertIn("packages.sh:1: does not install libold-dev", surplus)

    def test_marks_of_unfinished_merges_are_named(self):
        self.write("docs/a.1", "text\n" + "<" * 7 + " HEAD\n" + "=" * 7 + "\n" + ">" * 7 + " b\n")
        self.write("docs/b.md", "Title\n" + "=" * 8 + "\n")
        found = self.problems(documents.check_merges_are_finished)
        self.assertEqual([f.split(": ")[0] for f in found], [
            "docs/a.1:2", "docs/a.1:3", "docs/a.1:4"])

    def test_too_much_test_data_is_named(self):
        self.write("tests/data/model.gguf", "x" * documents.MAX_DATA_BYTES)
        self.assertEqual(self.problems(documents.check_data_size), [])
        self.write("tests/data/more.gguf", "x")
        self.assertEqual(len(self.problems(documents.check_data_size)), 1)

    # Names

    SOURCE = "namespace gguf_shard {\nnamespace {\n\n%s\n\n}  // namespace\n}\n"

    def test_a_private_name_that_two_sources_of_a_module_define_is_named(self):
        for line in ["constexpr int kLimit = 1;", "struct Row {", "int Count(int from) { return %d; }"]:
            self.write("core/a.cc", self.SOURCE % line.replace("%d", "1"))
            self.write("core/b.cc", self.SOURCE % line.replace("%d", "2"))
            self.assertEqual(len(self.problems(names.check_names_of_sources)), 1, line)

    def test_a_private_name_that_a_header_gives_to_a_type_is_named(self):
        self.write("core/trials.h", "struct Later;\nstruct Trials {\n};\n")
        self.write("core/a.cc", self.SOURCE % "int Trials(int count) {\n}\nstruct Later {\n};")
        found = self.problems(names.check_names_of_sources)
        self.assertEqual(len(found), 1)
        self.assertIn("Trials", found[0])

    def test_overloads_one_alias_and_other_modules_may_share_a_name(self):
        self.write("core/a.cc", self.SOURCE % "int Count(int from) {\n}\nusing Json = A;\nint k(long x) {")
        self.write("core/b.cc", self.SOURCE % "int Count(char from) {\n}\nusing Json = A;")
        self.write("forge/a.cc", self.SOURCE % "int k(long x) {")
        self.assertEqual(self.problems(names.check_names_of_sources), [])


if __name__ == "__main__":
    unittest.main()
