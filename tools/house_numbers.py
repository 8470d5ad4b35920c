"""Measures the size and the shape of the tree beside its aims: `python -m tools.house_numbers`.

Only files that git tracks count. The code is the package and `tools/`; a code line holds a token
that is neither comment nor docstring. Comments and strings below constants give reasons.
Exit code 1 where a hard aim is broken.
"""

from __future__ import annotations

import argparse
import ast
import io
import statistics
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path, PurePosixPath

FACE = PurePosixPath("src/egomon")
ROOMS = ("stream", "branches", "fusion", "train")
NO_TOKEN = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


@dataclass(frozen=True)
class SourceFile:
    """One Python file."""

    path: PurePosixPath
    text: str

    @property
    def module(self) -> str:
        """Name under which it is imported."""
        parts = self.path.with_suffix("").parts
        parts = parts[1:] if self.path.is_relative_to(FACE) else parts
        parts = ("egomon", *parts) if parts[0] in ROOMS else parts
        return ".".join(parts).removesuffix(".__init__")

    @property
    def lines(self) -> int:
        """Lines in all."""
        return len(self.text.splitlines())

    @cached_property
    def tree(self) -> ast.Module:
        """Syntax tree."""
        return ast.parse(self.text)

    @cached_property
    def code_lines(self) -> int:
        """Lines with a token that is neither comment nor docstring."""
        prose = {
            line
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        filled = {
            line
            for token in tokenize.generate_tokens(io.StringIO(self.text).readline)
            if token.type not in NO_TOKEN and token.string
            for line in range(token.start[0], token.end[0] + 1)
        }
        return len(filled - prose)

    @cached_property
    def comment_lines(self) -> int:
        """Lines that are a comment or end in one, and those of strings below constants.

        Such a string stands for a comment: it gives a constant's reason where documentation shows
        it. Those below fields of classes tell shapes and units, and do not count.
        """
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        comments = sum(token.type == tokenize.COMMENT for token in tokens)
        body = self.tree.body
        below = [
            (node.end_lineno or node.lineno) - node.lineno + 1
            for before, node in pairwise(body)
            if isinstance(before, ast.Assign | ast.AnnAssign)
            and isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
        ]
        return comments + sum(below)

    def imports(self, modules: set[str]) -> set[str]:
        """Those of `modules` that are imported when this one is loaded."""
        found: set[str] = set()
        waiting: list[ast.AST] = [self.tree]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                waiting += node.orelse
                continue
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                package = self.module.split(".")
                if node.level:
                    is_package = self.path.name == "__init__.py"
                    package = package[: len(package) - node.level + is_package]
                    base = ".".join([*package, *filter(None, [node.module])])
                else:
                    base = node.module or ""
                named = {f"{base}.{alias.name}" for alias in node.names}
                # `from package import module` waits for the module, not for the package's names.
                found |= named if named <= modules else {base, *named}
            waiting += ast.iter_child_nodes(node)
        return found & modules - {self.module}


def tracked(root: Path, *patterns: str) -> list[SourceFile]:
    """Files of the work tree that git tracks; links and deleted files are left out."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=root, capture_output=True, check=True
    )
    paths = [PurePosixPath(name.decode()) for name in done.stdout.split(b"\0") if name]
    files = [path for path in paths if (root / path).is_file() and not (root / path).is_symlink()]
    return [SourceFile(path, (root / path).read_text(encoding="utf-8")) for path in files]


def in_cycles(graph: Mapping[str, Iterable[str]]) -> set[str]:
    """Modules from which imports lead back to themselves.

    >>> sorted(in_cycles({"a": ["b"], "b": ["a"], "c": ["a"]}))
    ['a', 'b']
    """

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(graph.get(start, ()))
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += graph.get(module, ())
        return seen

    return {module for module in graph if module in reached(module)}


@dataclass(frozen=True)
class Figure:
    """One row: what is measured, its value and the aim."""

    name: str
    value: float
    aim: str
    met: bool
    hard: bool = False


def measure(root: Path) -> list[Figure]:
    """Figures of the tree at `root`."""
    files = tracked(root, "*.py")
    code = [f for f in files if f.path.parts[0] in ("src", "tools", *ROOMS)]
    tests = [f for f in files if f.path.parts[0] == "tests"]
    names = {f.module for f in code}
    graph = {f.module: f.imports(names) for f in code}
    sizes = [f.lines for f in code]
    folders = Counter(f.path.parent for f in code)
    scripts = [f.lines for f in tracked(root, "src/egomon/**/*.js")]

    def ratio(under: str) -> float:
        written = sum(f.code_lines for f in code if f.module.startswith(under))
        tested = PurePosixPath("tests", *under.split(".")[1:])
        of_tests = sum(f.code_lines for f in tests if f.path.is_relative_to(tested))
        return of_tests / written if written else 0.0

    median = statistics.median(sizes)
    cycles = len(in_cycles(graph))
    flattest = max(folders.values())
    longest_script = max(scripts, default=0)
    overall, train = ratio(""), ratio("egomon.train")
    comments = 100 * sum(f.comment_lines for f in code) / sum(sizes)
    return [
        Figure("module lines, median", median, "< 150", median < 150),
        Figure("module lines, max", max(sizes), "<= 300", max(sizes) <= 300, hard=True),
        Figure("script lines, max", longest_script, "<= 400", longest_script <= 400),
        Figure("modules in import cycles", cycles, "0", cycles == 0, hard=True),
        Figure("test lines per code line", overall, ">= .9", overall >= 0.9),
        Figure("the same for train", train, ">= .7", train >= 0.7),
        Figure("files in the flattest folder", flattest, "<= 15", flattest <= 15),
        Figure("lines that give reasons, %", comments, "2 to 4", 2 <= comments <= 4),
    ]


def table(figures: Iterable[Figure]) -> str:
    """Lines of fixed width; a missed aim is said, a hard one louder."""
    lines = []
    for f in figures:
        value = f"{f.value:.0f}" if f.value == int(f.value) else f"{f.value:.2f}"
        remark = "" if f.met else "  BROKEN" if f.hard else "  missed"
        lines.append(f"{f.name:<30}{value:>8}   aim {f.aim}{remark}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where a hard aim is broken."""
    parser = argparse.ArgumentParser(prog="python -m tools.house_numbers", description=__doc__)
    default = Path(__file__).resolve().parents[1]
    parser.add_argument("root", type=Path, nargs="?", default=default)
    figures = measure(parser.parse_args(arguments).root)
    sys.stdout.write(table(figures) + "\n")
    return int(any(f.hard and not f.met for f in figures))


if __name__ == "__main__":
    sys.exit(main())
