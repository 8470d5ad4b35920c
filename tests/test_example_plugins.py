"""Examples that need Unity or systemd: checked against the monitor's own types and options."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import types
import typing
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from egomon.cli.app import app
from egomon.cli.options import verbs_of
from egomon.errors import BundleError, ConfigError, SourceError, UsageError
from egomon.fusion.messages import envelope
from egomon.fusion.messages import types as wire

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
MESSAGES = EXAMPLES / "unity_netmq" / "EgomonMessages.cs"
UNIT = EXAMPLES / "systemd" / "egomon.service"

STRUCTS = (
    *(wire.AlertData, wire.SegmentRef, wire.Scores, wire.BranchScores, wire.GateWeights),
    *(wire.Step, wire.WallTimes, wire.Latency, wire.Evidence, wire.Previous),
)
PLAIN = {str: "string", int: "long", float: "double", bool: "bool"}


def csharp_classes() -> dict[str, dict[str, str]]:
    """Class -> field -> type, as the source says."""
    classes: dict[str, dict[str, str]] = {}
    for name, body in re.findall(r"public class (\w+)\n    \{\n(.*?)\n    \}", _source(), re.S):
        fields = re.findall(r"^\s*public ([\w\[\]]+) (\w+);", body, re.M)
        assert len(fields) == len(re.findall(r"^\s*public ", body, re.M)), f"odd line in {name}"
        classes[name] = {field: kind for kind, field in fields}
    return classes


def _source() -> str:
    return MESSAGES.read_text()


def csharp_type(hint: object) -> str:
    """What a field of this Python type is called in the C# source."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return csharp_type(args[0])
    if origin is Literal:
        return "string"
    if origin in (types.UnionType, typing.Union):
        (kind,) = (arg for arg in args if arg is not types.NoneType)
        return csharp_type(kind)
    if origin is tuple:
        (kind,) = set(args) - {Ellipsis}
        return f"{csharp_type(kind)}[]"
    if hint in PLAIN:
        return PLAIN[typing.cast(type, hint)]
    return typing.cast(type, hint).__name__


def test_the_csharp_classes_have_exactly_the_fields_of_the_wire() -> None:
    wanted = {
        struct.__name__: {
            field: csharp_type(hint)
            for field, hint in typing.get_type_hints(struct, include_extras=True).items()
        }
        for struct in STRUCTS
    }
    hints = typing.get_type_hints(envelope.Envelope)
    wanted["AlertEnvelope"] = {
        name: "AlertData" if name == "data" else csharp_type(hint) for name, hint in hints.items()
    }
    assert csharp_classes() == wanted


def test_the_csharp_topic_is_that_of_the_wire() -> None:
    root, kind = re.findall(r'const string \w+ = "(.*)";', _source())
    assert envelope.topic("cam0", "alert") == f"{root}cam0{kind}"


READER = """
using System;
using System.Runtime.Serialization.Json;
public static class Reader
{
    public static void Main()
    {
        var reader = new DataContractJsonSerializer(typeof(Egomon.AlertEnvelope));
        var e = (Egomon.AlertEnvelope)reader.ReadObject(Console.OpenStandardInput());
        var d = e.data;
        Console.WriteLine(string.Join("|", e.tseq, e.source, d.alert_id, d.rev, d.phase, d.p,
            d.segment.media_end, d.scores.small.logits[1], d.evidence[0].attachment,
            d.scores.gate.large, d.explanation));
    }
}
"""


def test_compiled_csharp_reads_a_message_of_the_monitor(tmp_path: Path) -> None:
    if shutil.which("mcs") is None or shutil.which("mono") is None:
        pytest.skip("no C# compiler: mcs and mono are not installed")
    (tmp_path / "Reader.cs").write_text(READER)
    program = tmp_path / "reader.exe"
    compile_it = ["mcs", "-langversion:7", "-r:System.Runtime.Serialization.dll", f"-out:{program}"]
    subprocess.run([*compile_it, MESSAGES, tmp_path / "Reader.cs"], check=True, timeout=60)
    branch = wire.BranchScores(p=0.75, logits=(-1.0, 2.5))
    data = wire.AlertData(
        alert_id="a-1", rev=2, phase="update", state="confirmed", reason="refined",
        explanation="Step 3 'Schraube fest' – too early", source="cam0", p=0.75,
        segment=wire.SegmentRef(id=4, epoch=0, media_start=1.5, media_end=4.25, frames=8),
        media_opened=4.25, media_end=5.0, model="demo@0123",
        scores=wire.Scores(
            small=branch, large=branch, gate=wire.GateWeights(small=0.25, large=0.75),
            fused=0.8, threshold=0.5, t_off=0.4,
        ),
        step=wire.Step(id="3", text="Schraube fest", conf=1.0),
        t=wire.WallTimes(capture_start="a", capture_end="b", opened="c"),
        latency_ms=wire.Latency(small=1.0, large=2.0, end_to_end=3.0),
        evidence=(
            wire.Evidence(
                kind="snapshot", media_type="image/jpeg", attachment=0, uri="", width=1, height=1
            ),
        ),
        prev=wire.Previous(state="provisional", p=0.6),
    )  # fmt: skip
    # Unity's reader takes absent and null fields; this one, of plain .NET, needs all of them.
    assert b"null" not in envelope.encode(data)
    message = envelope.Envelope(
        id="b-7", source="egomon://host/cam0", type="egomon.alert.update", time="2026-01-01T00:00Z",
        dataschema="egomon/alert/1", boot="b", seq=7, tseq=3,
        data=msgspec.Raw(envelope.encode(data)),
    )  # fmt: skip
    done = subprocess.run(
        ["mono", program], input=envelope.encode(message), capture_output=True, timeout=60
    )
    assert done.stdout.decode().strip() == (
        "3|egomon://host/cam0|a-1|2|update|0.75|4.25|2.5|0|0.75|" + data.explanation
    ), done.stderr.decode()


def unit() -> dict[str, list[str]]:
    """Settings of the unit; a key may come more than once."""
    settings: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            key, value = line.split("=", 1)
            settings.setdefault(key, []).append(value)
    return settings


def test_the_service_starts_the_monitor_with_options_it_has() -> None:
    (start,) = unit()["ExecStart"]
    program, verb, *rest = shlex.split(start)
    assert program.endswith("/.venv/bin/egomon")
    context = app.make_context("egomon", [verb], resilient_parsing=True)
    parsed = verbs_of(app)[verb].make_context(verb, rest, parent=context)
    assert parsed.params["device"] == ["0"]
    assert parsed.params["wait_source"]
    assert str(parsed.params["config"]) == "/etc/egomon/egomon.toml"


def test_the_service_is_not_restarted_for_what_a_restart_cannot_mend() -> None:
    stop = set(map(int, unit()["RestartPreventExitStatus"][0].split()))
    assert {UsageError.exit_code, ConfigError.exit_code, BundleError.exit_code} == stop
    assert SourceError.exit_code not in stop


def test_systemd_accepts_the_unit_and_calls_it_well_protected(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/egomon/.venv/bin/egomon", "/bin/true"))
    verify = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert complaints == []
    judge = ["systemd-analyze", "security", "--offline=true", "--threshold=30", str(copy)]
    done = subprocess.run(judge, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
