"""The pages under docs/ and README.md: they build, and what they say about the code is so."""

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from egomon.config import Settings
from egomon.errors import SourceError
from egomon.fusion import wire

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TEXTS = [*PAGES, ROOT / "README.md"]
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")

sys.path.insert(0, str(DOCS))
import generated  # noqa: E402


def named(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("page", TEXTS, ids=named)
def test_links_lead_to_files_and_headings_that_exist(page):
    for target, heading in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        found = (page.parent / target).resolve()
        assert found.exists(), f"{target} is not there"
        if heading:
            slugs = {
                re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
                for line in found.read_text(encoding="utf-8").splitlines()
                if line.startswith("#")
            }
            assert heading in slugs, f"{target} has no heading #{heading}"


def command_lines(page: Path) -> list[str]:
    lines = []
    for language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in ("", "sh", "console"):
            joined = body.replace("\\\n", " ")
            parts = (part for line in joined.splitlines() for part in line.split("&&"))
            lines += [part.strip() for part in parts if part.strip().startswith("egomon ")]
    return lines


@pytest.mark.parametrize("page", TEXTS, ids=named)
def test_every_command_that_is_shown_is_a_verb_with_options_it_knows(page):
    for line in command_lines(page):
        words = shlex.split(line, comments=True)[1:]
        verb = [words[0]]
        if words[0] in ("alerts", "config", "models") and words[1:] and words[1].isalpha():
            verb.append(words[1])
        known = generated.options_of(tuple(verb))
        for word in words:
            if word.startswith("-"):
                assert word.split("=")[0] in known, f"{line}: {word} is not an option"


def test_the_pages_show_commands_at_all():
    assert sum(len(command_lines(page)) for page in PAGES) > 20


@pytest.mark.parametrize("page", TEXTS, ids=named)
def test_python_blocks_compile_and_their_imports_exist(page):
    for language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


def test_every_setting_is_documented_with_a_sentence():
    text = generated.configuration()
    for section, field in Settings.model_fields.items():
        assert f"## `[{section}]`" in text
        for key, inner in field.annotation.model_fields.items():
            assert f"| `{key}` |" in text
            assert inner.description, f"{section}.{key} says nothing"


def test_every_message_and_field_is_on_the_page():
    text = generated.messages()
    for kind in wire.DATA_TYPES.values():
        assert f"### {kind.__name__}" in text
        for name in kind.__struct_encode_fields__:
            assert f"| `{name}` |" in text


def test_every_verb_and_flag_is_on_the_page():
    text = generated.commands()
    for verb in ("live", "replay", "listen", "teach", "train", "evaluate", "doctor", "config init"):
        assert f"## `egomon {verb}`" in text
    for flag in generated.options_of(("live",)) - {"-h", "--help"}:
        assert f"`{flag}`" in text


def test_every_code_of_a_source_has_a_line_that_says_what_to_do():
    text = (DOCS / "trouble.md").read_text(encoding="utf-8")
    assert SourceError.__doc__ is not None
    codes = re.findall(r"\b(?:STREAM|DEVICE)_[A-Z_]+\b", SourceError.__doc__)
    assert len(codes) > 5
    for code in codes:
        assert f"`{code}`" in text


def test_every_state_of_a_source_is_explained():
    text = (DOCS / "deploy.md").read_text(encoding="utf-8")
    for state in wire.StatusData.__annotations__["source_state"].split('"')[1::2]:
        assert f"`{state}`" in text


def test_each_page_is_in_the_navigation_and_each_mark_has_a_part():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES:
        assert f": {page.name}" in navigation
        for mark in generated.MARK.findall(page.read_text(encoding="utf-8")):
            assert mark in generated.PARTS


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("material", reason="needs egomon[docs]")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "wire" / "index.html").read_text(encoding="utf-8")
    assert "alert_id" in page
    assert "from the code" not in page
