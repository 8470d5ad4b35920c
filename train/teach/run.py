"""`egomon teach`: from videos, or from a taught bundle and more videos, to a taught bundle."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from egomon.branches.bundle.card_check import NAME_PATTERN
from egomon.branches.bundle.locate import CARD_FILE
from egomon.branches.bundle.save import check_target
from egomon.branches.load_bundle import save_bundle
from egomon.branches.taught.corrections import Correction, write_corrections
from egomon.branches.taught.step_pictures import write_step_pictures
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, write_graphs
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.errors import BundleError, UsageError
from egomon.train.features.vector_cache import VectorCache
from egomon.train.teach.base import Base, open_base
from egomon.train.teach.choose_base import choose_base, encode_recordings
from egomon.train.teach.demonstrations import (
    About,
    KeptRecordings,
    about_of,
    halved,
    read_demonstrations,
    weights_of,
    write_demonstrations,
)
from egomon.train.teach.help_files import (
    STEPS_FILE,
    read_step_names,
    with_boundaries,
    write_boundaries,
)
from egomon.train.teach.input_check import check_recordings, odd_one
from egomon.train.teach.kept_changes import Changes, read_changes
from egomon.train.teach.one_class.fit import ProgressCallback
from egomon.train.teach.page import PAGE_FILE, AlignedRecording, step_pictures, write_page
from egomon.train.teach.report import TeachReport
from egomon.train.teach.sources import find_demonstrations
from egomon.train.teach.step_filter.several import FollowedWorkflows
from egomon.train.teach.video import learn_bundle

TOO_LARGE_NOTE = (
    "the recordings are too long to be kept beside the bundle: to add one later, teach again from "
    "all of them"
)


def teach(
    videos: Sequence[Path],
    out: Path,
    *,
    base: str | None = None,
    name: str | None = None,
    false_alarms_per_hour: float | None = None,
    add: bool = False,
    steps: Path | None = None,
    boundaries: Path | None = None,
    force: bool = False,
    keep_former: bool = False,
    cache: VectorCache | None = None,
    progress: ProgressCallback = lambda what, share: None,
) -> TeachReport:
    """Make a bundle from correct recordings.

    Args:
        videos: 1 to 50 video files of one workflow, or a folder of such for each workflow.
        out: folder of the bundle.
        base: bundle (or `lite0`) whose frame encoder is taken over; None = the first whose guard
            knows the footage.
        name: name of the bundle; None = the folder's.
        false_alarms_per_hour: budget on correct work; None = 6, or with `add` what it was.
        add: `out` is a taught bundle, and `videos` are further recordings of its work.
        steps: file with the steps' names in order: so many are looked for.
        boundaries: table with the steps of some of the recordings.
        force: write the bundle although its steps cannot be told apart, and take a base whose
            guard calls the recordings foreign.
        keep_former: a bundle that is in `out` already is moved to `OUT.previous`.
        cache: where frame vectors are kept.
        progress: hears what is being done.

    Raises:
        UsageError: no videos, a name that no bundle can have, or a base that does not know them.
        SourceError: a video cannot be read.
        BundleError: the base cannot be loaded or `out` is in use by something else.
        DataError: a recording or a file is unusable.
    """
    chosen = name or Path(os.path.realpath(out)).name.lower().replace(" ", "-")
    if not NAME_PATTERN.fullmatch(chosen):
        raise UsageError(f"{chosen!r} cannot name a bundle; give --name with a-z, 0-9, '.', '-'")
    if out.name in ("", ".."):
        raise UsageError(
            f"a new bundle cannot take the place of {out}; name a folder, as in -o NAME"
        )
    if out.is_symlink():
        out = Path(os.path.realpath(out))
    if not videos:
        raise UsageError("teach needs at least one correct recording")
    former = out.with_name(f"{out.name}.previous") if keep_former and is_bundle(out) else None
    for folder in (out, former):
        if folder is not None:
            check_target(folder)
    old = read_demonstrations(out) if add else None
    changes = read_changes(out, old.about) if old else None
    known = list(dict.fromkeys(old.about.workflows)) if old else None
    demonstrations = find_demonstrations(videos, known)
    paths = [demonstration.path for demonstration in demonstrations]
    if steps and (known or demonstrations[0].workflow):
        raise UsageError("--steps names the steps of one workflow; name several in workflow.toml")
    names = read_step_names(steps) if steps else old.about.step_names if old else ()
    start = choose_base(base, paths, force=force) if old is None else _base_of(old.about, base)
    encoded = encode_recordings(paths, start, cache, progress)
    new = [
        replace(halved(recording), workflow=demonstration.workflow)
        for recording, demonstration in zip(encoded, demonstrations, strict=True)
    ]
    recordings = [*(old.recordings if old else ()), *new]
    unknown: list[str] = []
    if boundaries is not None:
        recordings, unknown = with_boundaries(recordings, boundaries)
    for workflow in dict.fromkeys(r.workflow for r in recordings):
        check_recordings([r for r in recordings if r.workflow == workflow])
    budget = false_alarms_per_hour or (old.about.false_alarms_per_hour if old else 6.0)
    about = about_of(
        old.about.base if old else base or start.card.name, start, recordings, names, budget
    )
    found = KeptRecordings(about, tuple(recordings))
    notes = (
        [f"{boundaries} has rows of {', '.join(unknown)}, which are none of the recordings"]
        if unknown
        else []
    )
    return _learn(start, found, out, chosen, progress, notes, changes, force=force, former=former)


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a bundle."""
    return (folder / CARD_FILE).is_file()


def _base_of(about: About, base: str | None) -> Base:
    """The base that a bundle was taught on.

    Raises:
        UsageError: another one is asked for, or its encoder has changed.
    """
    if base not in (None, about.base):
        raise UsageError(
            f"the bundle was taught on base {about.base}, whose vectors cannot be compared with "
            f"those of {base}; teach it again from all recordings"
        )
    try:
        found = open_base(about.base)
    except BundleError as error:
        raise UsageError(f"the bundle was taught on base {about.base}: {error}") from error
    if weights_of(found) != about.weights_sha256:
        raise UsageError(
            f"base {about.base} has other weights than when the bundle was taught; teach it again "
            "from all recordings"
        )
    return found


def _learn(
    base: Base,
    found: KeptRecordings,
    out: Path,
    name: str,
    progress: ProgressCallback,
    notes: Sequence[str],
    changes: Changes | None,
    *,
    force: bool,
    former: Path | None,
) -> TeachReport:
    """Learn and write, unless what was learned is of no use."""
    about = found.about
    taught, card, tensors = learn_bundle(
        base,
        found.recordings,
        name,
        about.false_alarms_per_hour,
        progress,
        len(about.step_names) or None,
    )
    if about.step_names and isinstance(taught, FollowedWorkflows):
        taught = taught.named(about.step_names)
    visits_of = (
        taught.visits if isinstance(taught, FollowedWorkflows) else ((),) * len(found.recordings)
    )
    graphs, words = taught.graphs, tuple[Correction, ...]()
    if changes is not None:
        visits = {r.name: own for r, own in zip(found.recordings, visits_of, strict=True)}
        graphs, words, lost = changes.on(graphs, visits)
        notes = (*notes, *([f"{lost}; see {former}" if former else lost] if lost else []))
    notes = (*taught.report.notes, *notes)
    report = replace(taught.report, base=base.card.name, former=str(former or ""), notes=notes)
    if report.verdict == "failed" and not force:
        return replace(report, written=False, odd=odd_one(found.recordings) or "", former="")
    save_bundle(out, card, tensors, onnx_folder=base.onnx_folder, former=former)
    write_graphs(graphs, out / WORKFLOW_FILE)
    write_corrections(out, words)
    if not write_demonstrations(out, found):
        report = replace(report, notes=(*report.notes, TOO_LARGE_NOTE))
    tracks = [
        AlignedRecording(recording, visits)
        for recording, visits in zip(found.recordings, visits_of, strict=True)
    ]
    write_page(
        out / PAGE_FILE,
        title=name,
        sentence=report.sentence,
        notes=report.notes,
        graphs=graphs,
        tracks=tracks,
    )
    write_step_pictures(out, step_pictures(tracks))
    _write_steps(out / STEPS_FILE, graphs, tracks)
    return report


def _write_steps(
    path: Path, graphs: Sequence[WorkflowGraph], tracks: Sequence[AlignedRecording]
) -> None:
    """Write where the steps were found, for a person to change; no file where that is unknown."""
    names = {step.id: step.name for graph in graphs for step in graph.steps}
    found = {
        track.recording.name: [replace(v, text=names[v.text or ""]) for v in track.visits]
        for track in tracks
        if track.visits
    }
    path.unlink(missing_ok=True)
    if found:
        write_boundaries(path, found)
