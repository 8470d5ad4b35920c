"""The pages under docs/ and README.md: they build, and what they say about the code is so."""

import ast
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.taught.workflow_file import _STEP_KEYS
from egomon.cli.app import app
from egomon.cli.options import verbs_of
from egomon.config import Settings, SinkSettings
from egomon.errors import ControlError, SourceError
from egomon.fusion.messages import types as wire
from egomon.monitor.operations.fault_codes import OWN_CODES
from egomon.train.fitting.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TEXTS = [*PAGES, ROOT / "README.md"]
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")

sys.path.insert(0, str(DOCS))
import diagram  # noqa: E402
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


def shell_lines(page: Path) -> list[str]:
    lines = []
    for language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in ("", "sh", "console"):
            joined = body.replace("\\\n", " ")
            parts = (part for line in joined.splitlines() for part in line.split("&&"))
            lines += [part.strip().removesuffix(" &") for part in parts]
    return lines


def command_lines(page: Path) -> list[str]:
    return [line for line in shell_lines(page) if line.startswith("egomon ")]


def find_verb(words: list[str]) -> tuple[Any, list[str]]:
    """The verb that the words after `egomon` name, and what is left of them."""
    command: Any = app
    while words and words[0] in (below := verbs_of(command)):
        command, words = below[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("page", TEXTS, ids=named)
def test_every_command_in_a_block_is_understood_by_the_command_itself(page):
    for line in command_lines(page):
        command, words = find_verb(shlex.split(line, comments=True)[1:])
        command.make_context(line, words)  # parses and converts; raises what the user would see


@pytest.mark.parametrize("page", TEXTS, ids=named)
def test_every_command_in_a_sentence_is_a_verb_with_options_it_knows(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for line in re.findall(r"`egomon ([a-z][^`]*)`", text):
        command, words = find_verb(line.split())
        assert len(words) < len(line.split()), f"egomon {line}: no such verb"
        known = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= known | {"-h"}, line


@pytest.mark.parametrize("page", TEXTS, ids=named)
def test_every_script_and_target_in_a_block_is_there(page):
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for line in shell_lines(page):
        program, _, rest = line.partition(" ")
        if program == "make":
            assert rest.split()[0] in targets
        elif program in ("python", "sh") and not rest.startswith("-"):
            assert (ROOT / rest.split()[0]).is_file(), line


def test_the_pages_show_commands_at_all():
    assert sum(len(command_lines(page)) for page in PAGES) > 20


@pytest.mark.parametrize("page", [*TEXTS, ROOT / "CONTRIBUTING.md"], ids=named)
def test_python_blocks_compile_and_their_imports_exist(page):
    for language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


def test_the_program_that_embeds_the_monitor_runs_as_it_is_shown():
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    (program,) = (body for language, body in BLOCK.findall(page) if "Monitor(" in body)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *alerts, last = done.stdout.splitlines()
    assert alerts
    assert all(line.startswith("bench, ") for line in alerts)
    assert last.startswith(f"{len(alerts)} alerts in ")


def test_every_setting_is_documented_with_a_sentence():
    text = generated.configuration()
    for section, default in msgspec.structs.asdict(Settings()).items():
        assert f"## `[{section}]`" in text
        for key in msgspec.structs.fields(default):
            assert f"| `{key.name}` |" in text
            assert any(m.description for m in key.type.__metadata__), (
                f"{section}.{key.name} says nothing"
            )


def test_each_message_is_on_the_page_with_the_fields_of_its_schema():
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", generated.messages(), re.M | re.S))
    for path in (ROOT / "fusion" / "messages" / "schema").glob("*.json"):
        for name, kind in json.loads(path.read_bytes())["$defs"].items():
            lines = re.findall(r"^\| (`.*) \|$", sections[name], re.M)
            rows = [re.split(r" (?<!\\)\| ", line) for line in lines]
            assert [row[0].strip("`") for row in rows] == list(kind["properties"]), name
            optional = {row[0].strip("`") for row in rows if len(row) > 2 and row[2].strip()}
            assert optional == set(kind["properties"]) - set(kind.get("required", ())), name


def test_every_refusal_of_a_request_is_explained():
    text = (DOCS / "wire.md").read_text(encoding="utf-8")
    codes = re.findall(r"\b[a-z]+(?:_[a-z]+)?\b", ControlError.__doc__.partition("stable: ")[2])
    assert len(codes) > 5
    for code in codes:
        assert f"| `{code}` |" in text


def test_every_verb_and_flag_is_on_the_page():
    text = generated.commands()
    for verb in ("live", "replay", "listen", "teach", "train", "evaluate", "doctor", "config init"):
        assert f"## `egomon {verb}`" in text
    for flag in generated.options_of(("live",)) - {"-h", "--help"}:
        assert f"`{flag}`" in text
    assert "| `--speed` | text | `max` |" in text
    assert "| `--pub` | text, repeatable |  |" in text
    assert "| `--threads` | integer |  |" in text


def test_every_code_of_a_source_has_a_line_that_says_what_to_do():
    text = (DOCS / "trouble.md").read_text(encoding="utf-8")
    assert SourceError.__doc__ is not None
    codes = re.findall(r"\b(?:STREAM|DEVICE)_[A-Z_]+\b", SourceError.__doc__)
    assert len(codes) > 5
    for code in codes:
        assert f"`{code}`" in text


def test_every_state_and_fault_is_explained():
    text = (DOCS / "operate.md").read_text(encoding="utf-8")
    for state in wire.StatusData.__annotations__["source_state"].split('"')[1::2]:
        assert f"| `{state}` |" in text
    for code in OWN_CODES:
        assert f"| `{code}` |" in text
    assert "`decision.threshold_small`" in generated.reloadable()


@cache
def said_by_the_code() -> list[str]:
    """Every text of the project, with `{}` where a value goes; docstrings are left out."""
    texts = []
    folders = ("src/egomon", "stream", "branches", "fusion", "train")
    for module in {path.resolve() for f in folders for path in (ROOT / f).rglob("*.py")}:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
                texts.append("".join(parts))
            elif isinstance(node, ast.Constant) and node not in prose:
                texts.append(str(node.value))
    return texts


def test_every_message_that_is_explained_can_be_said():
    page = (DOCS / "trouble.md").read_text(encoding="utf-8")
    table = page.partition("## Messages")[2].partition("\n## ")[0]
    said = said_by_the_code()
    explained = re.findall(r"^\| (.+?) \| .+ \|$", table, re.M)[1:]
    assert len(explained) > 20
    for message in explained:
        assert any(message in text for text in said), f"no error says {message!r}"


def test_every_option_that_a_message_names_exists():
    def flags(command: Any) -> set[str]:
        own = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)}
        return own.union(*map(flags, verbs_of(command).values()))

    known = flags(app) | {
        *("--trust-request-mm-kwargs", "--head"),  # of `vllm serve` and `ray start`
    }
    for text in said_by_the_code():
        if " " in text.strip() and "var(--" not in text:  # a style sheet has names of its own
            unknown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*(?!\{)\b", text)) - known
            assert not unknown, f"{text!r} names {unknown}"


def test_the_files_that_are_shown_are_read(tmp_path):
    encoders, workflows = [], []
    for page in PAGES:
        for language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
            if language == "json":
                body = body if body.startswith("{") else f"{{{body}}}"
                found = json.loads(body)
                encoder = found.get("frame_encoder", found)
                encoders.append(msgspec.convert(encoder, FrameEncoderCard))
            elif language == "toml":
                table = tomllib.loads(body)
                if "step" in table:
                    workflows.append(table)
                elif "sinks" in table:
                    msgspec.convert(table["sinks"], SinkSettings)
                else:
                    (tmp_path / "r.toml").write_text(f'name = ""\ndescription = ""\n{body}')
                    load_recipe(tmp_path / "r.toml")
    assert {encoder.dim for encoder in encoders} == {512, 768}
    assert [set(each["step"][0]) for each in workflows] == [set(_STEP_KEYS)]


def test_the_picture_of_the_pipeline_names_the_threads_that_run():
    monitor = ROOT / "src/egomon/monitor"
    names = ("workers/threads.py", "pipeline.py")
    source = "".join((monitor / name).read_text(encoding="utf-8") for name in names)
    threads = set(re.findall(r'Worker\(\s*f?"([a-z]+)', source))
    assert {thread for thread, _, _ in diagram.rows()} == threads
    picture = ElementTree.fromstring(diagram.svg())
    words = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {part for _, part, _ in diagram.rows()} <= set(words)


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


def test_each_folder_of_code_has_its_row_among_the_rules_for_contributors():
    rows = re.findall(r"^\| (`.+?/`) \|", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M)
    listed = {name for row in rows for name in re.findall(r"`([\w/]+)/`", row)}
    packages = ("src/egomon", "stream", "branches", "fusion", "train")
    found = {
        str(path.parent.resolve().relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert found - {"src/egomon"} == listed - {"tools"}


def test_each_test_that_the_page_on_trust_names_is_there():
    named_tests = re.findall(r"`([\w/]+\.py)::(test_\w+)`", (DOCS / "trust.md").read_text("utf-8"))
    assert len(named_tests) > 30
    for path, name in named_tests:
        assert f"def {name}(" in (ROOT / "tests" / path).read_text("utf-8"), f"{path}::{name}"
