"""The whole, as a user runs it: separate processes, a real file, real (tiny) models."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Run

Start = Callable[..., "subprocess.Popen[str]"]

ALERTING = ("--threshold", "0.0", "--policy", "fixed", "--length", "2", "--stride", "1")


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_replay_raises_alerts_gives_one_json_object_and_the_same_bytes_twice(
    egomon: Run, tiny_bundle: Path, video: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    done = egomon("replay", video, "--model", tiny_bundle, "--out", first, "--json", *ALERTING)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["frames"]["decoded"] == 180
    assert summary["refine"]["ok"] > 0, "the large branch took part"
    written = lines(first)
    assert summary["alerts"]["new"] == sum(a["phase"] == "new" for a in written) > 0
    again = egomon(
        "replay", video, "--model", tiny_bundle, "--out", second, "--speed", "4", *ALERTING
    )
    assert again.returncode == 0, again.stderr
    assert first.read_bytes() == second.read_bytes()
    expected = egomon("replay", video, "--model", tiny_bundle, "--expect", first, *ALERTING)
    assert expected.returncode == 0, expected.stderr
    other = egomon("replay", video, "--model", tiny_bundle, "--expect", first, "--threshold", "1")
    assert other.returncode == 6
    assert "differ" in other.stderr


def test_a_second_process_receives_every_alert(
    egomon: Run,
    start: Start,
    tiny_bundle: Path,
    video: Path,
    tmp_path: Path,
    endpoints: tuple[str, str],
) -> None:
    publish, control = endpoints
    listener = start("listen", publish, "--format", "jsonl", "--until-ended", "--fail-on-gap")
    out = tmp_path / "alerts.jsonl"
    done = egomon(
        *("replay", video, "--model", tiny_bundle, "--out", out),
        *("--pub", publish, "--control", control, *ALERTING),
    )
    assert done.returncode == 0, done.stderr
    received, complaints = listener.communicate(timeout=20)
    assert listener.returncode == 0, complaints
    envelopes = [json.loads(line) for line in received.splitlines()]
    assert [e["data"] for e in envelopes] == lines(out)
    assert len({e["boot"] for e in envelopes}) == 1
    assert [e["tseq"] for e in envelopes] == list(range(1, len(envelopes) + 1))


def test_ctrl_c_ends_alerts_and_exits_with_130(
    start: Start, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "alerts.jsonl"
    process = start(
        *("replay", "synthetic:seconds=600,fps=30", "--model", tiny_bundle, "--speed", "1"),
        *("--out", out, *ALERTING),
    )
    assert process.stderr is not None
    for line in process.stderr:  # ends with the first alert, or with the process
        if "! new" in line:
            break
    process.send_signal(signal.SIGINT)
    _, _ = process.communicate(timeout=15)
    assert process.returncode == 130
    last = lines(out)[-1]
    assert (last["phase"], last["reason"]) == ("end", "shutdown")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("replay", "nowhere.mp4"), 3, "not found"),
        (("replay", "FOLDER"), 3, "is a folder"),
        (("replay", "TEXT"), 3, "is no video"),
        (("replay", "VIDEO", "--model", "no-such-model"), 4, "no bundle is called"),
        (("replay", "VIDEO", "--speed", "fast"), 2, "--speed"),
        (("replay", "VIDEO", "--segments-file", "nowhere.jsonl"), 2, "cannot read segments"),
        (("replay", "VIDEO", "--pub", "tcp://0.0.0.0:5999"), 2, "without keys"),
        (("replay", "VIDEO", "--config", "nowhere.toml"), 2, "not found"),
        (("live", "--device", "77", "--duration", "5s"), 3, "camera"),
        (("live", "--device", "0", "--duration", "soon"), 2, "duration"),
        (("listen", "--format", "xml"), 2, "--format"),
        (("alerts", "list"), 2, "no event store"),
    ],
)
def test_a_mistake_gives_one_sentence_and_its_exit_code(
    egomon: Run,
    tiny_bundle: Path,
    video: Path,
    tmp_path: Path,
    args: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    names = {"VIDEO": str(video), "FOLDER": str(tmp_path), "TEXT": str(text)}
    given = [names.get(arg, arg) for arg in args]
    if given[0] in ("replay", "live") and "--model" not in given:
        given += ["--model", str(tiny_bundle)]
    done = egomon(*given)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("chaos", [(), ("--chaos",)])
def test_doctor_on_a_machine_without_gpu_warns_and_exits_with_0(
    egomon: Run, tiny_bundle: Path, chaos: tuple[str, ...]
) -> None:
    done = egomon("doctor", "--model", tiny_bundle, "--json", *chaos, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    levels = {finding["name"]: finding["level"] for finding in answer["checks"]}
    assert answer["ok"]
    assert levels["gpu"] == "warning"
    assert levels["self-test"] == levels["bundle"] == "ok"
    assert {"cameras", "camera"} & set(levels)
    assert all(finding["advice"] for finding in answer["checks"] if finding["level"] == "warning")


def test_help_loads_no_torch_and_every_verb_has_one(egomon: Run) -> None:
    for verb in ("live", "replay", "listen", "models", "devices", "doctor", "alerts", "report"):
        done = egomon(verb, "--help")
        assert done.returncode == 0
        assert "Usage" in done.stdout
    probe = "import sys, egomon.cli; sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    import sys

    assert subprocess.run([sys.executable, "-c", probe], check=False, timeout=30).returncode == 0
