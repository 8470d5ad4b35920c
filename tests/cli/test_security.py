"""Secrets stay out of the command line, and `doctor --security` says what is open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from egomon.cli import app
from egomon.cli.doctor.security import _command_lines
from egomon.cli.names import dereference
from egomon.errors import UsageError

ADDRESS = "rtsp://me:hunter2@10.0.0.5/live"


def test_an_address_is_read_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "camera.txt"
    file.write_bytes(b"\xef\xbb\xbf" + ADDRESS.encode() + b"\r\nanything else\n")
    monkeypatch.setenv("CAMERA", f" {ADDRESS} ")
    assert dereference(f"@{file}", option="--device") == ADDRESS
    assert dereference("env:CAMERA", option="--device") == ADDRESS
    assert dereference("0", option="--device") == "0"


@pytest.mark.parametrize("text", ["@/nowhere/at/all", "@{empty}", "env:NOT_SET_ANYWHERE", "@{odd}"])
def test_what_cannot_be_read_is_one_sentence_with_the_option(text: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "odd").write_bytes(b"\xff\xfe\xfa")
    text = text.format(empty=tmp_path / "empty", odd=tmp_path / "odd")
    with pytest.raises(UsageError, match=r"--sink .*(nothing is in there|cannot be read)"):
        dereference(text, option="--sink")


def doctor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[str, str]]]:
    """Findings by name: (level, detail)."""
    # Other programs of this machine are not the tests' concern.
    (folder / "proc").mkdir(exist_ok=True)
    monkeypatch.setattr("egomon.cli.doctor.security.PROCESSES", folder / "proc")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "none"))
    result = CliRunner().invoke(app, ["doctor", "--security", "--json"])
    assert result.exit_code in (0, 1), result.output
    found: dict[str, list[tuple[str, str]]] = {}
    for check in json.loads(result.stdout)["checks"]:
        found.setdefault(check["name"], []).append((check["level"], check["detail"]))
    return found


def test_the_defaults_open_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = doctor(tmp_path, monkeypatch)
    assert {level for checks in found.values() for level, _ in checks} == {"ok"}
    assert len(found["bus"]) == 2


def test_what_is_open_is_told_with_its_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, store = tmp_path / "keys", tmp_path / "events.sqlite"
    keys.mkdir()
    (keys / "server.key_secret").touch(mode=0o644)
    store.touch(mode=0o644)
    settings = tmp_path / "egomon.toml"
    settings.write_text(
        '[bus]\npublish = ["tcp://0.0.0.0:6000"]\n'
        f'[store]\npath = "{store}"\n[metrics]\naddress = "0.0.0.0:9100"\n'
    )
    settings.chmod(0o664)
    found = doctor(tmp_path, monkeypatch)
    assert found["settings"][0][0] == "warning"
    assert found["bus"][0] == ("error", "tcp://0.0.0.0:6000: the network, without keys")
    assert found["bus"][1] == ("ok", "tcp://127.0.0.1:6001: this machine only")
    assert found["metrics"][0][0] == "warning"
    assert found["data"] == [("warning", f"other users may read {store}")]
    settings.write_text(f'[bus]\npublish = ["tcp://0.0.0.0:5556"]\ncurve = "{keys}"\n')
    settings.chmod(0o600)
    found = doctor(tmp_path, monkeypatch)
    assert (found["settings"][0][0], found["bus"][0][0]) == ("ok", "ok")
    assert found["key"] == [("warning", f"other users may read {keys / 'server.key_secret'}")]


def test_a_password_in_a_running_command_line_is_told_without_it(tmp_path: Path) -> None:
    for pid, words in {
        "12": ["python", "/bin/egomon", "live", "--device", ADDRESS],
        "13": ["python", "/bin/egomon", "live", "--device", "@camera.txt"],
        "14": ["ffmpeg", "-i", ADDRESS],
    }.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_bytes(b"\0".join(word.encode() for word in words))
    (found,) = _command_lines(tmp_path)
    assert found.level == "warning"
    assert found.detail.endswith("process 12")
    assert "hunter2" not in found.detail + found.advice
