"""Speech and tones of this machine: what is told, by which program, and that no shell sees it."""

from __future__ import annotations

import threading
import wave
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sink_data import end, hand_over

from egomon.errors import ConfigError, EgomonError, UsageError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.types import AlertData, StatusData
from egomon.fusion.sinks.notices.notice import FRESH_SECONDS, TONES, Notice, NoticeKind, Notices
from egomon.fusion.sinks.notices.repeats import MOST_OPEN, MOST_REPEATS
from egomon.fusion.sinks.notices.speech import SpeechSink, write_tone
from egomon.fusion.sinks.open import make_sink
from egomon.fusion.sinks.sink import Mute, SeenAlerts, SinkContext
from egomon.fusion.sinks.worker import SinkWorker
from egomon.testing import check_sink, sample_messages

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Makes a program of this name and script; the path holds these and a shell, no others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in ("cat", "sleep"):
        (folder / name).symlink_to(
            next(p for p in (Path("/bin", name), Path("/usr/bin", name)) if p.exists())
        )

    def make(name: str, script: str) -> None:
        file = folder / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    return make


def alert(explanation: str = "Fill it has not been seen.", **fields: object) -> Message:
    return fresh(0, explanation=explanation, **fields)


def status(**fields: object) -> Message:
    return fresh(2, error=None, **fields)


def fresh(index: int, **fields: object) -> Message:
    """A sample message with other data, published now."""
    sample = sample_messages()[index]
    data = msgspec.structs.replace(sample.data, **fields)
    assert isinstance(data, AlertData | StatusData)
    envelope = msgspec.structs.replace(
        sample.envelope,
        time=datetime.now(UTC).isoformat(),
        data=msgspec.Raw(msgspec.json.encode(data)),
    )
    return Message(sample.topic, envelope, data)


def test_an_opening_a_retraction_a_lost_camera_and_other_work_are_told_once_each() -> None:
    notices = Notices()
    lost, back = status(source_state="offline"), status(source_state="online")
    outside = status(source_state="online", domain="out_of_domain")
    given = [alert(), alert(phase="update", rev=2), alert(phase="end", rev=3), lost, lost, back,
             outside, outside, back, lost, alert(phase="retract", rev=4)]  # fmt: skip
    told = [notice for message in given if (notice := notices.of(message)) is not None]
    assert [notice.kind for notice in told] == ["open", "lost", "outside", "lost", "retracted"]
    assert told[0].sentence == "Mistake. Fill it has not been seen."
    assert told[1].sentence == "Camera lost: cam0."


def test_what_comes_too_late_or_from_a_former_run_is_not_told() -> None:
    moment = datetime.now(UTC) + timedelta(seconds=FRESH_SECONDS + 1)
    assert Notices(now=lambda: moment).of(alert()) is None
    new = alert()
    assert Notices().of(Message(new.topic, new.envelope, new.data, recovered=True)) is None
    assert isinstance(Notices().of(new), Notice)


def test_the_sentence_is_one_line_without_control_characters_and_bounded() -> None:
    evil = "a\x1b[2J\x00b\n$(touch evil)\u202e" + 400 * "x"
    notice = Notices().of(alert(evil))
    assert notice is not None
    assert notice.sentence.isprintable()
    assert notice.sentence.startswith("Mistake. a [2J b $(touch evil) xxx")
    assert len(notice.sentence) == 300


def test_the_machine_speaks_within_a_run_and_the_sentence_meets_no_shell(
    program: Program, tmp_path: Path
) -> None:
    spoken = tmp_path / "spoken"
    program("espeak-ng", f"[ \"$1\" = --stdin ] && cat >> '{spoken}' && echo >> '{spoken}'")
    check_sink(lambda: make_sink("say:"))
    worker = SinkWorker("the sink 'say'", make_sink("say:"), SinkContext())
    worker.open()
    hand_over(worker, alert("-x; `touch evil` $(touch evil)"), alert(phase="retract"))
    end(worker)
    assert spoken.read_text().splitlines() == [
        "Mistake. -x; `touch evil` $(touch evil)",
        "It was no mistake after all.",
    ]
    assert worker.fault is None


def test_a_program_that_takes_the_sentence_as_its_argument_gets_it_as_one(
    program: Program, tmp_path: Path
) -> None:
    program("spd-say", f"for each; do echo \"$each\"; done > '{tmp_path}/spoken'")
    sink = make_sink("say:")
    sink.open(SinkContext())
    sink.send(alert("two words"))
    assert (tmp_path / "spoken").read_text().splitlines() == ["--wait", "--", "Mistake. two words"]


@pytest.mark.parametrize("name", ["say", "sound"])
def test_a_machine_that_cannot_is_refused_with_a_sentence(program: Program, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name}: no program of this machine") as caught:
        make_sink(f"{name}:")
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match=r"takes nothing behind the colon"):
        make_sink(f"{name}:loud")


def test_a_program_that_fails_or_hangs_loses_one_sentence_and_is_shown(program: Program) -> None:
    program("espeak-ng", "exit 3")
    worker = SinkWorker("the sink 'say'", make_sink("say:"), SinkContext())
    worker.open()
    hand_over(worker, alert())
    end(worker)
    assert worker.lost == 1
    assert worker.fault is not None

    program("espeak-ng", "exec sleep 60")
    sink, stop = make_sink("say:"), threading.Event()
    sink.open(SinkContext(stop=stop))
    stop.set()
    with pytest.raises(EgomonError, match="did not end within"):
        sink.send(alert())


class Repeating:
    """`say:#repeat=20s` with a clock, and a program that keeps what it is given."""

    def __init__(self, program: Program, folder: Path) -> None:
        self._spoken, self.now = folder / "spoken", 0.0
        program("espeak-ng", f"cat >> '{self._spoken}' && echo >> '{self._spoken}'")
        self.stored = set[str]()
        self.context = SinkContext(
            mute=Mute(lambda: self.now), seen=SeenAlerts(self.stored.__contains__)
        )
        self.sink = SpeechSink("say:#repeat=20s", clock=lambda: self.now)
        self.sink.open(self.context)

    def times(self, seconds: float, *, step: float = 5.0) -> int:
        """How often something is said within so many seconds."""
        before = self._count()
        for _ in range(int(seconds / step)):
            self.now += step
            self.sink.idle()
        return self._count() - before

    def _count(self) -> int:
        return len(self._spoken.read_text().splitlines()) if self._spoken.exists() else 0


@pytest.mark.parametrize("how", ["end", "retract", "page", "store"])
def test_an_open_alert_is_said_again_until_it_is_over_or_somebody_has_seen_it(
    program: Program, tmp_path: Path, how: str
) -> None:
    speech, new = Repeating(program, tmp_path), alert()
    assert isinstance(new.data, AlertData)
    speech.sink.send(new)
    assert speech.times(19, step=19) == 0
    assert speech.times(41, step=1) == 3
    if how == "page":
        speech.context.seen.add(new.data.alert_id)
    elif how == "store":
        speech.stored.add(new.data.alert_id)
    else:
        speech.sink.send(alert(phase=how, rev=2))
    assert speech.times(200) == 0


def test_a_muted_machine_says_an_open_alert_again_when_the_silence_is_over(
    program: Program, tmp_path: Path
) -> None:
    speech = Repeating(program, tmp_path)
    speech.context.mute.begin(60)
    speech.sink.send(alert())
    assert speech.times(59, step=1) == 0
    assert speech.times(5) == 1


def test_what_nobody_sees_is_not_said_for_ever(program: Program, tmp_path: Path) -> None:
    speech = Repeating(program, tmp_path)
    speech.sink.send(alert())
    assert speech.times(20 * (MOST_REPEATS + 9), step=20) == MOST_REPEATS
    for number in range(MOST_OPEN + 3):
        speech.sink.send(alert(alert_id=f"a-{number}"))
    assert speech.times(20, step=1) == 1, "one at a time"
    assert speech.times(MOST_OPEN + 3, step=1) == MOST_OPEN - 1, "the newest"


def test_an_alert_is_said_once_where_nothing_else_was_asked_for(
    program: Program, tmp_path: Path
) -> None:
    speech = Repeating(program, tmp_path)
    speech.sink = SpeechSink("say:", clock=lambda: speech.now)
    speech.sink.send(alert())
    assert speech.times(200) == 0


@pytest.mark.parametrize("options", ["repeat=1", "repeat=nan", "repeat=often", "repeat", "loud=1"])
def test_a_pause_that_cannot_be_is_refused(program: Program, options: str) -> None:
    program("espeak-ng", "")
    with pytest.raises(UsageError, match=r"^--sink say: "):
        make_sink(f"say:#{options}")


def test_a_repeat_comes_from_the_thread_of_the_sink_and_one_that_fails_is_shown() -> None:
    idle = threading.Event()

    class Failing:
        def open(self, context: SinkContext) -> None:
            pass

        def send(self, message: Message) -> None:
            pass

        def close(self) -> None:
            pass

        def idle(self) -> None:
            if idle.is_set():
                done.set()
            idle.set()
            raise EgomonError("no voice")

    done = threading.Event()
    worker = SinkWorker("the sink 'say'", Failing(), SinkContext())
    worker.open()
    assert done.wait(10), "it is called again though nothing comes"
    assert worker.fault is not None
    assert worker.lost == 0
    end(worker)


def test_each_kind_has_a_tone_of_its_own_that_can_be_heard(
    program: Program, tmp_path: Path
) -> None:
    program("aplay", f'[ "$1" = -q ] && cat "$2" > \'{tmp_path}/played\'')
    sink = make_sink("sound:")
    sink.open(SinkContext())
    sink.send(status(source_state="offline"))
    sink.close()
    expected = tmp_path / "lost.wav"
    write_tone(expected, "lost")
    assert (tmp_path / "played").read_bytes() == expected.read_bytes()
    spectra = {kind: spectrum(tmp_path / f"{kind}.wav", kind) for kind in TONES}
    for first, second in combinations(spectra, 2):
        assert float(spectra[first] @ spectra[second]) < 0.5, (first, second)


def spectrum(path: Path, kind: NoticeKind) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Strength of each band of 50 Hz, of length 1."""
    write_tone(path, kind)
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
        rate = file.getframerate()
    assert np.sqrt(np.mean(samples**2)) > 3000
    assert np.abs(np.diff(samples)).max() < 9000  # no crack
    strength = np.abs(np.fft.rfft(samples))
    bands = np.bincount((np.fft.rfftfreq(len(samples), 1 / rate) / 50).astype(int), strength)
    return bands / np.linalg.norm(bands)
