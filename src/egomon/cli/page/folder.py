"""The folder of one taught work, which the user owns: recorded runs, names of steps, bundle.

`runs/run-001.mp4` and so on are the recordings, `steps.txt` the names that were given to the steps,
one a line, `steps.csv` where they begin and end in each run, once a person has changed that, and
`bundle` what was learned, with what was said of its alerts. `previous` holds the last three as they
were before the newest change of the steps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from egomon.cli.page.taught_steps import TaughtSteps
from egomon.errors import UsageError

if TYPE_CHECKING:
    from egomon.config import Settings

MOST_BYTES = 2 << 30
"""Of all runs together."""
_RUN = re.compile(r"run-(\d{3,})\.mp4")


@dataclass(frozen=True, slots=True)
class Run:
    """One recorded run."""

    path: Path
    nbytes: int

    @property
    def name(self) -> str:
        """Name for a person: `run-001`."""
        return self.path.stem


class WorkFolder:
    """See the module.

    Args:
        root: made with the first run.
        most_bytes: of all runs.
        is_wanted: the user asked to teach; False only offers it.
    """

    def __init__(
        self, root: Path, *, most_bytes: int = MOST_BYTES, is_wanted: bool = False
    ) -> None:
        self.root, self.most_bytes, self.is_wanted = root, most_bytes, is_wanted
        self.steps = TaughtSteps(root)
        self.bundle = self.steps.bundle
        self._runs = root / "runs"

    def runs(self) -> list[Run]:
        """All recordings, oldest first."""
        found = [path for path in self._runs.glob("*.mp4") if _number(path.name)]
        ordered = sorted(found, key=lambda path: _number(path.name))
        return [Run(path, path.stat().st_size) for path in ordered]

    @property
    def nbytes(self) -> int:
        """Bytes of all runs."""
        return sum(run.nbytes for run in self.runs())

    def new_run(self) -> Path:
        """Where the next recording goes.

        Raises:
            UsageError: there is no room for another, or the folder cannot be made.
        """
        if self.nbytes >= self.most_bytes:
            raise UsageError(
                f"the runs fill their {self.most_bytes >> 20} MiB; delete one to record another"
            )
        try:
            # For its owner only: the runs show a person at work.
            self._runs.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UsageError(
                f"cannot make the folder {self.root}: {error.strerror}; give another with --learn"
            ) from error
        # A name that was used once still stands in the tables of steps.
        used = [run.path.name for run in self.runs()] + [f"{run}.mp4" for run in self.steps.runs]
        number = max(map(_number, used), default=0) + 1
        return self._runs / f"run-{number:03d}.mp4"

    def video(self, name: str) -> Path | None:
        """The recording of this name; None where there is none, whatever text it is."""
        return next((run.path for run in self.runs() if run.name == name), None)

    def delete(self, name: str) -> None:
        """Delete one recording; what was learned from it stays until it is learned again.

        Raises:
            UsageError: there is none of this name.
        """
        found = self.video(name)
        if found is None:
            raise UsageError("there is no such run any more")
        found.unlink(missing_ok=True)


def chosen_folder(learn: Path | None, settings: Settings) -> WorkFolder | None:
    """Folder that the page of a run teaches into.

    Args:
        learn: what the user named.
        settings: of the run.

    Returns:
        None where a bundle of another place watches.
    """
    import platformdirs

    from egomon.config_sections import ModelSettings

    if learn is not None:
        return WorkFolder(learn, is_wanted=True)
    if settings.model.name != ModelSettings().name:
        return None
    return WorkFolder(Path(platformdirs.user_data_dir("egomon")) / "work")


def _number(file_name: str) -> int:
    found = _RUN.fullmatch(file_name)
    return 0 if found is None else int(found[1])
