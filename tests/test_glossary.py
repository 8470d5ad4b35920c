"""One word for one thing: what people read uses the words of docs/glossary.md."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import generated  # noqa: E402

GLOSSARY = ROOT / "docs" / "glossary.md"
PAGES = [
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("examples/*/README.md"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")),
]
OTHER_WORDS = {
    "alert": r"notifications?|(?<!false )(?<!-)\balarms?(?! budget)",
    "bundle": r"checkpoints?|model files?|model packages?",
    "context": r"history of the workflow|memory of the workflow",
    "false alarm": r"false positives?|false alerts?",
    "flagged": r"suspicious|suspected",
    "frame encoder": r"backbones?|feature extractors?",
    "guard": r"novelty|ood\b|anomaly detectors?",
    "mistake": r"anomal(?:y|ies)|wrongdoings?|errors? of the (?:person|wearer|worker)",
    "prior": r"base rates?|class priors?",
    "segment": r"snippets?|chunks? of video",
    "source": r"feeds?\b|video inputs?",
    "step": r"sub-?steps?|sub-?tasks?",
    "threshold": r"cut-?offs?",
    "workflow": r"procedures?|work ?plans?",
}
"""Word of the glossary -> words that would mean the same."""


def terms() -> list[str]:
    rows = re.findall(r"^\| ([a-z ]+) \|", GLOSSARY.read_text(encoding="utf-8"), re.M)
    return [row for row in rows if row != "word"]


def sentences_of(module: Path) -> Iterator[str]:
    """Text of what a module raises or says."""
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
    folders = ("src/egomon", "stream", "branches", "fusion", "train")
    modules = {path for folder in folders for path in (ROOT / folder).rglob("*.py")}
    texts["errors"] = "\n".join(line for module in sorted(modules) for line in sentences_of(module))
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
