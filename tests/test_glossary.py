"""One word, one thing: a public class has a name of its own; pages and messages keep to words."""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import generated  # noqa: E402

GLOSSARY = ROOT / "docs" / "glossary.md"
FOLDERS = ("src/egomon", "stream", "branches", "fusion", "train", "tools")
PAGES = [
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("examples/*/README.md"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")),
]
OTHER_WORDS = {
    "alert": r"notifications?",
    "bundle": r"model files?|model packages?",
    "context": r"history of the workflow|memory of the workflow",
    "flagged": r"suspicious|suspected",
    "mistake": r"wrongdoings?|errors? of the (?:person|wearer|worker)",
    "source": r"video inputs?",
    "workflow": r"work ?plans?",
}
"""Word of the glossary -> words that would mean the same and are not the field's."""


def modules() -> list[Path]:
    return sorted({path.resolve() for name in FOLDERS for path in (ROOT / name).rglob("*.py")})


def types_of(source: str) -> Iterator[tuple[int, str, str]]:
    """Line, name and meaning of each public class and type alias; classes mean themselves."""
    for node in ast.parse(source).body:
        match node:
            case ast.ClassDef(name=name):
                yield node.lineno, name, f"class at line {node.lineno}"
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if name[:1].isupper() and not name.isupper():
                yield node.lineno, name, ast.unparse(value)


def doubles(sources: Mapping[str, str]) -> list[str]:
    """Names that mean two things, with both places; an alias repeated word for word is one."""
    places: dict[str, dict[str, str]] = defaultdict(dict)
    for file, source in sources.items():
        for line, name, meaning in types_of(source):
            key = f"{file}: {meaning}" if meaning.startswith("class ") else meaning
            if not name.startswith("_"):
                places[name].setdefault(key, f"{file}:{line}")
    return [
        f"{name} is {' and '.join(found.values())}"
        for name, found in places.items()
        if len(found) > 1
    ]


def test_no_public_class_or_type_alias_is_the_name_of_two_things():
    sources = {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in modules()}
    assert len(sources) > 200
    assert doubles(sources) == []


def test_a_name_that_means_two_things_is_found_with_both_places():
    sources = {
        "a.py": "class Clip: ...\nclass _Own: ...\nRate = float | None\nLIMIT = 3",
        "b.py": "import x\nClip = tuple[int, int]\nclass _Own: ...\nRate = float | None\nLIMIT = 4",
        "c.py": "Rate: TypeAlias = int",
    }
    assert doubles(sources) == ["Clip is a.py:1 and b.py:2", "Rate is a.py:3 and c.py:1"]


def terms() -> list[str]:
    rows = re.findall(r"^\| ([a-z ]+) \|", GLOSSARY.read_text(encoding="utf-8"), re.M)
    return [row for row in rows if row != "word"]


def sentences_of(module: Path) -> Iterator[str]:
    """Text of what a module raises."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and node.exc is not None:
            for part in ast.walk(node.exc):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


@cache
def read_by_people() -> dict[str, str]:
    texts = {
        str(page.relative_to(ROOT)): re.sub(
            r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S
        )
        for page in PAGES
    }
    texts = {name: " ".join(text.split()) for name, text in texts.items()}
    texts["help of the command"] = generated.commands()
    texts["settings"] = generated.configuration()
    texts["wire"] = generated.messages()
    texts["errors"] = "\n".join(line for module in modules() for line in sentences_of(module))
    return texts


def test_the_glossary_is_in_order_and_explains_each_word_that_has_others():
    assert terms() == sorted(terms())
    assert set(OTHER_WORDS) <= set(terms())


@pytest.mark.parametrize("term", OTHER_WORDS)
def test_no_other_word_is_used_for(term):
    pattern = re.compile(rf"\b(?:{OTHER_WORDS[term]})\b", re.IGNORECASE)
    found = {
        where: sorted({match[0] for match in pattern.finditer(text)})
        for where, text in read_by_people().items()
        if pattern.search(text)
    }
    assert not found, f"say {term!r} instead"


def test_errors_are_among_what_is_read():
    assert len(read_by_people()["errors"]) > 5000
