import re
from pathlib import Path

import numpy as np
import pytest

from egomon.cli.config_file import commented_toml, resolved_rows
from egomon.config import Settings, load_settings, plain
from egomon.errors import ConfigError


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_flags_beat_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "a.toml", '[model]\nname = "file"\ndevice = "cpu"\ndtype = "float32"\n')
    monkeypatch.setenv("EGOMON_MODEL__NAME", "environment")
    monkeypatch.setenv("EGOMON_MODEL__DEVICE", "cuda")
    model = load_settings(file, {"model": {"name": "flag", "device": None}}).model
    assert (model.name, model.device, model.dtype) == ("flag", "cuda", "float32")
    assert load_settings(None).model.dtype == "auto"


def test_the_environment_is_read_in_any_case_with_lists_and_tables_as_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("egomon_model__large", "false")
    monkeypatch.setenv("EGOMON_BUS__PUBLISH", '["tcp://127.0.0.1:1", "ipc:///tmp/e"]')
    monkeypatch.setenv("EGOMON_MODEL__OTHERS", '{"tea": "/data/tea"}')
    monkeypatch.setenv("EGOMON_STORE__PATH", "[new] events")
    monkeypatch.setenv("EGOMON_OTHER__NAME", "of another program")
    monkeypatch.setenv("MODEL__NAME", "of another program")
    found = load_settings()
    assert found.bus.publish == ("tcp://127.0.0.1:1", "ipc:///tmp/e")
    assert found.model.others == {"tea": Path("/data/tea")}
    assert (found.store.path, found.model.large) == ("[new] events", False)
    assert found.model.name == "workbench"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("source.wait", "yes", True),
        ("source.wait", " On ", True),
        ("source.gaze", "off", False),
        ("source.gaze", "0", False),
        ("source.fps", " .5", 0.5),
        ("source.fps", "+30", 30.0),
        ("source.buffer_mb", " 064", 64),
        ("model.threads", "2", 2),
        ("model.name", " 7", " 7"),
        ("source.kind", "live", "live"),
        ("bus.curve", "keys", Path("keys")),
    ],
)
def test_numbers_and_truth_may_be_written_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, text: str, value: object
) -> None:
    section, name = key.split(".")
    file = write(tmp_path / "a.toml", f"[{section}]\n{name} = '{text}'\n")
    assert getattr(getattr(load_settings(file), section), name) == value
    monkeypatch.setenv(f"EGOMON_{key.replace('.', '__')}".upper(), text)
    assert getattr(getattr(load_settings(), section), name) == value


def test_numbers_of_numpy_are_numbers() -> None:
    given = {"threshold_fused": np.float32(0.5)}
    assert load_settings(None, {"decision": given}).decision.threshold_fused == 0.5
    with pytest.raises(ConfigError, match="expected a number"):
        load_settings(None, {"decision": {"threshold_fused": np.bool_(True)}})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("EGOMON_MODEL__NAM", "x", "unknown setting model.nam; did you mean model.name?"),
        (
            "EGOMON_BUS__PUBLISH",
            "tcp://127.0.0.1:1",
            "setting bus.publish: expected a list, got 'tcp:",
        ),
        (
            "EGOMON_SEGMENTS__LENGTH_SECONDS",
            "",
            "setting segments.length_seconds: expected a number, got ''",
        ),
    ],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError, match=words):
        load_settings()


def test_the_file_in_this_folder_is_found(tmp_path: Path) -> None:
    write(tmp_path / "egomon.toml", "[decision]\nthreshold_small = 0.25\n")
    assert load_settings().decision.threshold_small == 0.25


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[decision]\nemitt = 'gated'\n", "did you mean decision.emit?"),
        ("[modle]\nname = 'x'\n", "did you mean model?"),
        ("[decision]\nthreshold_small = 7\n", "threshold_small"),
        ("[decision]\nemit = 'loud'\n", "expected gated, provisional or small-only, got 'loud'"),
        ("[source]\nsize = 'big'\n", "source.size: expected text matching"),
        ("[source]\nfps = 0\n", "source.fps: expected a number > 0.0, got 0"),
        ("[sinks]\nuris = ['apprise:secret', 3]\n", "sinks.uris[1]: expected text, got 3 (in"),
        ("[model]\nothers = { tea = 1 }\n", "model.others.tea: expected a path, got 1 (in"),
        ("model = 5\n", "setting model: expected a table, got 5"),
        ("model = [{}]\n", "setting model: expected a table, got [{}]"),
        ("'model.name' = 'x'\n", "unknown setting model.name"),
        ("['bus.publish']\n", "unknown setting bus.publish"),
        ('[sinks]\nsite = "a\\n"\n', r"sinks.site: expected text matching regex '^[A-Za-z0-9._-]"),
        ("[source]\nkind = 1\n", "source.kind: expected file or live, got 1"),
        ("[source]\nfps = 'null'\n", "source.fps: expected a number, got 'null'"),
        ("[source]\nfps = true\n", "source.fps: expected a number, got True"),
        ("[source]\nfps = nan\n", "source.fps: expected a number > 0.0, got nan"),
        (f"[source]\nbuffer_mb = {'9' * 5000}\n", "cannot read"),
        (f"[model]\nname = {'[' * 5000}\n", "cannot read"),
        ("not toml at all", "cannot read"),
    ],
)
def test_a_wrong_file_is_named_with_what_to_do(tmp_path: Path, text: str, words: str) -> None:
    file = write(tmp_path / "a.toml", text)
    with pytest.raises(ConfigError, match=r"a\.toml") as caught:
        load_settings(file)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_commented_file_is_valid_and_changes_nothing(tmp_path: Path) -> None:
    text = commented_toml()
    assert load_settings(write(tmp_path / "a.toml", text)) == load_settings()
    uncommented = re.sub(r"(?m)^# ([a-z_]+ = (?!.*not set).*)$", r"\1", text)
    assert uncommented != text
    load_settings(write(tmp_path / "b.toml", uncommented))
    for section, keys in plain(Settings()).items():
        assert f"[{section}]" in text
        for key in keys:
            assert f"# {key} = " in text


def test_resolved_settings_say_where_each_value_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "a.toml", '[model]\nname = "mine"\n')
    monkeypatch.setenv("EGOMON_DECISION__EMIT", "provisional")
    rows = {key: origin for key, _, origin in resolved_rows(load_settings(file), file)}
    assert rows["model.name"] == str(file)
    assert rows["decision.emit"] == "environment"
    assert rows["model.device"] == "default"


def test_a_file_found_here_that_everybody_may_change_is_not_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "egomon.toml"
    path.write_text("[store]\nkeep_days = 3\n")
    monkeypatch.chdir(tmp_path)
    path.chmod(0o644)
    assert load_settings().store.keep_days == 3
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="give it with --config if you trust it"):
        load_settings()
    assert load_settings(path).store.keep_days == 3
    path.chmod(0o644)
    monkeypatch.setattr("egomon.config.os.geteuid", lambda: 4242)
    monkeypatch.setattr("egomon.config._ROOT", -1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        load_settings()


def test_a_home_that_may_not_be_looked_into_has_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A name that is too long stands for it: rights do not bind the tests of a root user.
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ("x" * 300)))
    monkeypatch.chdir(tmp_path)
    assert load_settings() == Settings()
    with pytest.raises(ConfigError, match="not found; check its name and rights"):
        load_settings(tmp_path / ("y" * 300))
