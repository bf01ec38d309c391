"""Checks of the tree: dependencies between folders, links, format, comments, length of functions and of the README."""

import ast
import os
import pathlib
import re
import shutil
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What each folder may include besides itself. The order is that of the arrows: nothing includes what comes after it.
MAY_USE = {
    "base": set(),
    "ssm": {"base"},
    "gpu": {"base", "ssm"},
    "dsp": {"base", "ssm"},
    "capture": {"base", "ssm", "dsp"},
    "sensor": {"base", "ssm"},
    "cli": {"base", "ssm", "gpu", "dsp", "capture", "sensor"},
    "plugin": {"base", "ssm", "dsp", "capture"},
}

# The rooms of ssm, in the same order: each may use those before it.
ROOMS_OF_SSM = ["machine", "kernels", "model", "layers", "run", "verify", "measure"]

LONGEST_FUNCTION = 80  # lines
LONG_KERNELS = {"scan_rows", "project", "gate_and_project", "expand", "recur", "mamba3_chunks", "ssd_chunks"}


def files(*endings):
    for folder, below, names in os.walk(ROOT):
        below[:] = sorted(d for d in below if not d.startswith((".", "build")) and d not in ("demo", "__pycache__"))
        for name in sorted(names):
            if name.endswith(endings):
                yield pathlib.Path(folder, name)


def functions_of_python(text):
    """Names and lengths."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.end_lineno - node.lineno + 1


def functions_of_cpp(text):
    """Names and lengths of functions, also of members. Relies on clang-format: a function ends with a brace of its own
    line, as far to the left as its first line."""
    text = re.sub(r'R"(\w*)\((.*?)\)\1"', lambda raw: '""' + "\n" * raw[2].count("\n"), text, flags=re.S)
    lines = [re.sub(r"\s*//.*|^#.*|^ ?(public|private|protected):$", "", line) for line in text.splitlines()]
    first, opened = None, None  # the lines where a definition and its body begin
    for number, line in enumerate(lines):
        if not line or re.match(r"(inline )?namespace\b|extern .*\{$", line) or (first is None and line[0] in " }"):
            continue
        if first is None:
            first = number
        if opened is None:
            if line.endswith("{"):
                opened = number
            elif line.endswith((";", "}")):
                first = None
        elif lines[opened].endswith("= {") and line.endswith("};"):
            first = opened = None
        elif line[0] == "}":
            head = re.sub(r"__launch_bounds__\([^()]*\)", "", " ".join(lines[first : opened + 1]))
            if re.match(r"(template <.*> *)?(struct|class|union)\b", head):
                yield from functions_of_cpp("\n".join(line[2:] for line in lines[opened + 1 : number]))
            elif line == "}":
                yield re.search(r"([\w~]+|operator\S+) ?\(|$", head)[1], number - first + 1
            first = opened = None


class House(unittest.TestCase):
    def test_includes_point_down(self):
        seen = set()
        for path in files(".h", ".cpp", ".cu", ".cuh"):
            room = path.relative_to(ROOT).parts[0]
            if room not in MAY_USE:
                continue
            seen.add(room)
            for included in re.findall(r'^#include "([^"]+)"', path.read_text(), re.M):
                other = included.split("/")[0]
                if other != room and other in MAY_USE:
                    self.assertIn(other, MAY_USE[room], f"{path.relative_to(ROOT)} includes {included}")
        self.assertEqual(seen, set(MAY_USE))

    def test_rooms_of_ssm_use_those_above(self):
        for path in files(".h", ".cpp"):
            folders = path.relative_to(ROOT).parts
            if folders[0] != "ssm":
                continue
            for other in re.findall(r'^#include "ssm/(\w+)/', path.read_text(), re.M):
                self.assertLessEqual(
                    ROOMS_OF_SSM.index(other), ROOMS_OF_SSM.index(folders[1]), f"{'/'.join(folders)} uses ssm/{other}"
                )

    def test_rooms_use_each_other_in_one_direction(self):
        uses = {}
        for path in files(".h", ".cpp", ".cu", ".cuh"):
            room = str(path.parent.relative_to(ROOT))
            for included in re.findall(r'^#include "([^"]+)"', path.read_text(), re.M):
                other = included.rpartition("/")[0]
                if other and other != room and other.split("/")[0] in MAY_USE:
                    uses.setdefault((room, other), f"{path.relative_to(ROOT)} includes {included}")
        for room, other in uses:
            self.assertFalse((other, room) in uses, f"{uses[room, other]}; {uses.get((other, room))}")

    def test_headers_include_no_circle(self):
        graph = {}
        for path in files(".h", ".cuh"):
            name = str(path.relative_to(ROOT))
            graph[name] = set(re.findall(r'^#include "([^"]+)"', path.read_text(), re.M))
        done, above = set(), []

        def visit(name):
            self.assertNotIn(name, above, " -> ".join(above + [name]))
            if name in done or name not in graph:
                return
            above.append(name)
            for other in sorted(graph[name]):
                visit(other)
            above.pop()
            done.add(name)

        for name in sorted(graph):
            visit(name)

    def test_neighbours_use_each_other_in_one_direction(self):
        """A header and its sources are one: neither of two neighbours may need the other through any of its files."""
        pairs = (
            ("sensor/engine/shard", "sensor/engine"),
            ("ssm/layers/modulation", "ssm/layers/network"),
            ("cli/process/output_meter", "cli/process/process_file"),
            ("plugin/session", "plugin/model_library"),
            ("plugin/processor", "plugin/editor/editor"),
            ("plugin/store", "plugin/undo"),
            ("plugin/undo", "plugin/changes"),
            ("plugin/chain_player", "plugin/changes"),
            ("plugin/changes", "plugin/loading"),
            ("plugin/chain_editor", "plugin/remote"),
            ("plugin/loading", "plugin/audition"),
            ("plugin/audition", "plugin/processor"),
            ("gpu/conv", "gpu/scan"),
        )
        uses = {}
        for path in files(".h", ".cpp", ".cu", ".cuh"):
            # gpu/conv_kernels.cuh is a part of its neighbour
            name = re.sub(r"_kernels$", "", str(path.relative_to(ROOT).with_suffix("")))
            for included in re.findall(r'^#include "([^"]+)\.\w+"', path.read_text(), re.M):
                uses.setdefault(name, set()).add(re.sub(r"_kernels$", "", included))

        def reaches(begin, end):
            seen, left = set(), [begin]
            while left:
                name = left.pop()
                if name == end:
                    return True
                if name not in seen:
                    seen.add(name)
                    left += uses.get(name, ())
            return False

        for one, other in pairs:
            self.assertIn(one, uses)
            self.assertIn(other, uses)
            self.assertFalse(reaches(one, other) and reaches(other, one), f"{one} and {other} need each other")

    def test_lines_fit_in_120_columns(self):
        endings = (".h", ".cpp", ".c", ".cu", ".cuh", ".py", ".cmake", "CMakeLists.txt", "dev", ".html")
        for path in files(*endings):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                self.assertLessEqual(len(line), 120, f"{path.relative_to(ROOT)}:{number}")

    def test_functions_are_short(self):
        lengths = [(path, *found) for path in files(".py") for found in functions_of_python(path.read_text())]
        for path in files(".h", ".cpp", ".c", ".cu", ".cuh"):
            lengths += [(path, *found) for found in functions_of_cpp(path.read_text())]
        long = [(path.relative_to(ROOT), *found) for path, *found in lengths if found[1] > LONGEST_FUNCTION]
        self.assertEqual([found for found in long if found[1] not in LONG_KERNELS], [])
        self.assertEqual({name for _, name, _ in long}, LONG_KERNELS)

    def test_names_of_tests_hold_no_semicolon(self):
        """Discovery cuts them there, and what is left names no test."""
        for path in files(".cpp"):
            for name in re.findall(r'TEST_CASE\(\s*"((?:[^"\\]|\\.|"\s*")*)"', path.read_text()):
                self.assertNotIn(";", name, path.relative_to(ROOT))

    def test_files_begin_with_a_sentence_on_what_they_are(self):
        for path in files(".h", ".cpp", ".cu", ".cuh"):
            self.assertTrue(path.read_text().startswith("// "), path.relative_to(ROOT))

    def test_headers_use_the_thread_tags_that_contributing_defines(self):
        section = (ROOT / "CONTRIBUTING.md").read_text().split("## Thread tags")[1].split("\n## ")[0]
        known = set(re.findall(r"^\| `(\[[a-z -]+\])`", section, re.M))
        self.assertIn("[audio-thread]", known)
        for path in files(".h", ".cuh"):
            text = re.sub(r"\n\s*//", "", path.read_text())  # a tag may continue on the next line of a comment
            for tag in re.findall(r"\[[^\[\]]*thread[^\[\]]*\]", text):
                if re.fullmatch(r"\[[a-z ,-]+\]", tag):
                    self.assertIn(re.sub(r" +", " ", tag), known, path.relative_to(ROOT))

    @unittest.skipIf(shutil.which("clang-format") is None, "clang-format is not installed")
    def test_clang_format_has_nothing_to_change(self):
        paths = [str(path) for path in files(".h", ".cpp", ".c", ".cu", ".cuh")]
        done = subprocess.run(
            ["clang-format", "--dry-run", "-Werror", *paths], cwd=ROOT, capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])

    def test_links_lead_somewhere(self):
        for path in files(".md"):
            for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
                if not link.startswith(("http:", "https:")):
                    self.assertTrue((path.parent / link).exists(), f"{path.relative_to(ROOT)} links {link}")

    def test_architecture_names_files_that_exist(self):
        """Paths in backticks, with or without an ending."""
        text = (ROOT / "docs/ARCHITECTURE.md").read_text()
        for name in re.findall(r"`((?:base|ssm|gpu|dsp|capture|sensor|cli|plugin|tests|examples)/[\w/.]+)`", text):
            self.assertTrue(list(ROOT.glob(name.rstrip("/") + "*")) or "NAME" in name, name)

    def test_readme_is_short(self):
        self.assertLessEqual(len((ROOT / "README.md").read_text().splitlines()), 150)


if __name__ == "__main__":
    unittest.main()
