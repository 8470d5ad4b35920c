"""stdout whose reader has gone: `egomon VERB | head -1`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from egomon.cli.app import app
from egomon.cli.options import verbs_of


def verbs(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All of them, with those below them."""
    for name, each in verbs_of(command).items():
        yield (*words, name)
        yield from verbs(each, (*words, name))


TABLES = [
    ("config", "show"),
    ("config", "show", "--resolved"),
    ("models",),
    ("models", "--json"),
    ("models", "show", "workbench"),
    ("devices", "--search", "none"),
    ("alerts", "list", "--store", "events.sqlite"),
    ("alerts", "list", "--store", "events.sqlite", "--json"),
    ("--version",),
]
HELP = [(*words, "--help") for words in verbs(app)]


def unread(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run with a stdout that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, "-m", "egomon", *words],
            stdout=writer,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize("words", TABLES, ids=" ".join)
def test_a_reader_that_has_gone_ends_a_verb_quietly(tmp_path: Path, words: tuple[str, ...]) -> None:
    from egomon.fusion.store.events import EventStore

    with EventStore(tmp_path / "events.sqlite"):
        pass
    done = unread(tmp_path, *words)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.timeout(240)  # a process for each verb, half a second of CPU each
def test_no_help_text_needs_a_reader(tmp_path: Path) -> None:
    assert len(HELP) > 20
    for words in HELP:
        done = unread(tmp_path, *words)
        assert (words, done.returncode, done.stderr) == (words, 141, b"")


def test_an_error_keeps_its_own_code_without_a_reader(tmp_path: Path) -> None:
    done = unread(tmp_path, "models", "show", "nothing-of-that-name")
    assert done.returncode == 4
    assert done.stderr.startswith(b"egomon: ")
    assert b"BrokenPipe" not in done.stderr


@pytest.mark.parametrize("words", ["config show", "config show --json", "models --json"])
def test_a_closed_stdout_is_no_error(tmp_path: Path, words: str) -> None:
    script = f"exec {sys.executable} -m egomon {words} >&-"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("words", [("models",), ("models", "--json"), ("models", "--help")])
def test_a_full_disk_under_stdout_is_one_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "egomon", *words]
    with FULL.open("wb") as full:
        done = subprocess.run(
            command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    told = b"egomon: cannot write to stdout: No space left on device; free its disk or write"
    assert (done.returncode, done.stderr) == (2, told + b" elsewhere\n")


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
def test_an_error_that_nobody_can_be_told_keeps_its_code(tmp_path: Path, stderr: str) -> None:
    if stderr.endswith("full") and not FULL.exists():
        pytest.skip("needs Linux's /dev/full")
    script = f"exec {sys.executable} -m egomon models show nothing-of-that-name {stderr}"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 4


def test_a_replay_runs_with_a_closed_stderr(tmp_path: Path, tiny_bundle: Path) -> None:
    words = f"replay synthetic:seconds=4 --model {tiny_bundle} --store none --no-large"
    script = f"exec {sys.executable} -m egomon {words} 2>&-"
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, timeout=60, check=False
    )
    assert done.returncode == 0
    assert b"segments: " in done.stdout
