"""What teaching learned, for a person and for `--json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

TeachVerdict = Literal["ready", "usable", "failed"]

LEAST_STEPS = 2
LEAST_AGREEMENT = 0.2
GOOD_AGREEMENT, GOOD_RECORDINGS = 0.6, 3
# Six of ten found is worth an alarm now and then; one of ten is a bundle that sleeps.
GOOD_RECALL, LEAST_RECALL = 0.6, 0.1


@dataclass(frozen=True, slots=True)
class TeachReport:
    """What was learned, and how far to trust it."""

    recordings: int
    segments: int
    steps: int
    workflows: int
    """Told apart by their steps and the order of these."""
    hours: float
    """Length of all recordings."""
    step_agreement: float | None
    """Share of segments of a left-out recording that are put into the step they were grouped
    into; None with one recording."""
    threshold: float
    false_alarms_per_hour: float
    """The budget asked for."""
    alerts_on_recordings: int
    """Segments at or above the threshold when each recording is judged by the others."""
    notes: tuple[str, ...] = ()
    base: str = ""
    """What was built on."""
    written: bool = True
    """False: too little was learned for a bundle."""
    made: int = 0
    """Mistakes made from the recordings, each judged by the other recordings; 0 = none."""
    found: int = 0
    """How many of these were found."""
    judged_hours: float = 0.0
    """Length of what was judged so."""
    most_an_hour: float | None = None
    """Upper 95 % bound of the false alarms an hour in it."""

    frame_seconds: float = 0.0
    """Between two pictures of the recordings, where that is more than teaching wants."""
    former: str = ""
    """Folder of the bundle that this one replaced; empty = there was none, or it is not kept."""
    odd: str = ""
    """Recording that looks least like the others, where little was learned."""

    @property
    def verdict(self) -> TeachVerdict:
        """Whether the bundle is worth watching with."""
        agreement = self.step_agreement
        if self.steps < LEAST_STEPS or (agreement is not None and agreement < LEAST_AGREEMENT):
            return "failed"
        if self.made and self.found <= LEAST_RECALL * self.made:
            return "failed"
        good = agreement is not None and agreement >= GOOD_AGREEMENT
        if self.most_an_hour is not None:
            good = (
                self._is_within_budget and self.made > 0 and self.found >= GOOD_RECALL * self.made
            )
        return "ready" if good and self.recordings >= GOOD_RECORDINGS else "usable"

    @property
    def sentence(self) -> str:
        """The verdict for a person."""
        found = f"{self.steps} steps in {self.recordings} recordings"
        if self.verdict == "ready":
            return f"Ready: found {found} and recognises them again{self._known_recall}."
        if self.verdict == "usable":
            advice = "more recordings would help (egomon teach --add)"
            if self.frame_seconds:
                advice = (
                    f"the recordings show a picture every {self.frame_seconds:g} s, and 4 a second "
                    "are wanted: record the work again"
                )
            return f"Usable: found {found}{self._known_recall}; {advice}."
        if self.odd:
            return (
                f"{self.odd} shows other work or another place than the other recordings, and next "
                "to nothing would be found; teach without it."
            )
        return (
            f"Base {self.base} cannot tell the steps apart (found {found}), or the recordings "
            "show different work; try another --base, or name the steps in order with --steps FILE."
        )

    @property
    def _known_recall(self) -> str:
        """What it found where each recording was judged by the others."""
        if not self.made or self.most_an_hour is None:
            return ""
        above = (
            f", above the budget of {self.false_alarms_per_hour:g}"
            if not self._is_within_budget
            else ""
        )
        alarms = {0: "no false alarm", 1: "one false alarm"}.get(
            self.alerts_on_recordings, f"{self.alerts_on_recordings} false alarms"
        )
        return (
            f"; judged by the others, {self.found} of {self.made} made mistakes were found, with "
            f"{alarms} in {60 * self.judged_hours:.0f} minutes, so at most "
            f"{self.most_an_hour:.0f} an hour (95 %){above}"
        )

    @property
    def _is_within_budget(self) -> bool:
        return self.alerts_on_recordings <= self.false_alarms_per_hour * self.judged_hours

    def to_json(self) -> dict[str, Any]:
        """For `egomon teach --json`."""
        return asdict(self) | {"verdict": self.verdict, "sentence": self.sentence}

    def table(self) -> Table:
        """For the terminal."""
        table = Table(title="taught", show_header=False)
        agreement = "-" if self.step_agreement is None else f"{self.step_agreement:.2f}"
        for what, value in (
            ("recordings", f"{self.recordings} ({60 * self.hours:.1f} min)"),
            ("segments", str(self.segments)),
            ("base", self.base),
            ("workflows found", str(self.workflows)),
            ("steps found", str(self.steps)),
            ("steps recognised again", agreement),
            ("false-alarm budget", f"{self.false_alarms_per_hour:g} an hour"),
            ("alerts on left-out recordings", str(self.alerts_on_recordings)),
        ):
            table.add_row(what, Text(value))
        for note in self.notes:
            table.add_row("note", Text(note))
        return table


FEW = 6
"""With fewer recordings of a workflow, one in 2^(FEW - 2) free pairs is shown in one order only."""


def notes_on(recordings: int, fewest: int, steps: int, allowed: float) -> tuple[str, ...]:
    """What the user should know about a threshold from so many recordings.

    Args:
        recordings: number of demonstrations.
        fewest: of one workflow.
        steps: number of steps found.
        allowed: false alarms that the budget allows in all of them together.
    """
    notes = []
    if steps == 1:
        notes.append(
            "only one step was found, so no order can be judged; show the whole workflow in "
            "each recording, or start from a base whose vectors tell its steps apart"
        )
    if recordings == 1:
        notes.append(
            "one recording shows no variation: any other order counts as a mistake and the "
            "threshold is a guess; add recordings"
        )
    elif allowed < 1:
        notes.append(
            f"the budget allows {allowed:.2g} false alarms in all recordings together: the "
            "threshold is extrapolated; longer or more recordings make it firmer"
        )
    if recordings > 1 and 1 < fewest < FEW:
        notes.append(
            f"{fewest} recordings show a free pair of steps in one order only with a chance of 1 "
            f"in {2 ** (fewest - 1)}: if an alert names an order that is right, add a recording "
            "of it or edit workflow.toml"
        )
    return tuple(notes)
