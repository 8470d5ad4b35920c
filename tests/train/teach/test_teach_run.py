"""From videos to a bundle: which base, what is kept for later, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_teach_video import base_of, film

from egomon.branches.bundle.locate import read_card
from egomon.branches.load_bundle import load_bundle, read_tensors
from egomon.branches.step_filter.several import SeveralWorkflowsBranch
from egomon.branches.taught.corrections import (
    Correction,
    read_corrections,
    write_corrections,
)
from egomon.branches.taught.step_pictures import read_step_picture
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, read_graphs, write_graphs
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.errors import BundleError, DataError, EgomonError, UsageError
from egomon.train.features.vector_cache import VectorCache
from egomon.train.teach import choose_base as choosing
from egomon.train.teach import teach
from egomon.train.teach.choose_base import choose_base
from egomon.train.teach.demonstrations import read_demonstrations


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("films")
    return [film(folder / f"right{i}.mp4", "abc", i) for i in range(3)]


@pytest.fixture(scope="module")
def known(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose guard lets all footage pass."""
    return base_of(tiny_bundle, tmp_path_factory.mktemp("known") / "base", limit=1e9)


@pytest.fixture(scope="module")
def foreign(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose guard lets none pass."""
    return base_of(tiny_bundle, tmp_path_factory.mktemp("foreign") / "base", limit=0.0)


def test_a_base_whose_guard_calls_the_recordings_foreign_is_never_taken(
    foreign: Path, known: Path, films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"right0\.mp4 is another kind of footage than base"):
        teach(films, tmp_path / "out", base=str(foreign))
    assert not (tmp_path / "out").exists()
    assert choose_base(str(foreign), films, force=True).guard is not None

    monkeypatch.setattr(choosing, "LITE0", str(known))
    for first, taken in ((foreign, known), (known, known)):
        monkeypatch.setattr(choosing, "FIRST_CHOICE", str(first))
        chosen = choose_base(None, films).guard
        assert chosen is not None
        assert chosen.limit == (1e9 if taken is known else 0.0)


def test_adding_a_recording_gives_what_teaching_all_at_once_gives(
    known: Path, films: list[Path], tmp_path: Path
) -> None:
    teach(films, tmp_path / "all", base=str(known), name="work", false_alarms_per_hour=4.0)
    teach(films[:2], tmp_path / "some", base=str(known), name="work", false_alarms_per_hour=4.0)
    report = teach(films[2:], tmp_path / "some", name="work", add=True)

    assert (report.recordings, report.false_alarms_per_hour) == (3, 4.0)
    one, other = load_bundle(tmp_path / "all"), load_bundle(tmp_path / "some")
    assert one.card == other.card
    first, second = read_tensors(one.folder), read_tensors(other.folder)
    assert first.keys() == second.keys()
    assert all(bool((first[name] == second[name]).all()) for name in first)
    kept = read_demonstrations(tmp_path / "some")
    assert kept.about.names == tuple(path.name for path in films)
    assert kept.about.base == str(known)


def test_a_bundle_that_is_taught_again_is_kept_beside_the_new_one_where_that_is_asked(
    known: Path, films: list[Path], tmp_path: Path
) -> None:
    out, former = tmp_path / "work", tmp_path / "work.previous"
    assert teach(films, out, base=str(known), keep_former=True).former == ""
    for budget in (4.0, 5.0, 6.0):
        (out / "workflow.toml").write_text(f"# {budget}")
        report = teach(
            films[:2], out, base=str(known), keep_former=True, false_alarms_per_hour=budget
        )
        assert report.former == str(former)
        assert (former / "workflow.toml").read_text() == f"# {budget}"
        assert read_demonstrations(out).about.false_alarms_per_hour == budget
    assert {path.name for path in tmp_path.iterdir()} == {"work", "work.previous"}
    teach(films[:2], out, base=str(known))
    assert (former / "workflow.toml").read_text() == "# 6.0"


def test_a_link_to_a_bundle_is_followed_and_stays(
    known: Path, films: list[Path], tmp_path: Path
) -> None:
    link, target = tmp_path / "current", tmp_path / "on-the-large-disk" / "work"
    target.parent.mkdir()
    link.symlink_to(target)
    for count in (2, 3):
        report = teach(films[:count], link, base=str(known), keep_former=True)
        assert link.is_symlink()
        assert read_demonstrations(target).about.names == tuple(f.name for f in films[:count])
    assert report.former == str(target.with_name("work.previous"))
    assert {path.name for path in target.parent.iterdir()} == {"work", "work.previous"}


def test_links_that_lead_to_each_other_are_refused(
    known: Path, films: list[Path], tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.symlink_to(other)
    other.symlink_to(one)
    with pytest.raises(EgomonError, match="cannot write"):
        teach(films[:2], one, base=str(known))


@pytest.mark.parametrize("name", ["work", "work.previous"])
def test_a_folder_of_something_else_is_refused_before_any_work(
    known: Path, films: list[Path], tmp_path: Path, name: str
) -> None:
    shutil.copytree(known, tmp_path / "work")
    shutil.rmtree(tmp_path / name, ignore_errors=True)
    (tmp_path / name).mkdir()
    (tmp_path / name / "letter.txt").write_text("dear")

    def tell(what: str, share: float) -> None:
        raise AssertionError(what)

    with pytest.raises(BundleError, match=rf"{name} exists and is not a bundle"):
        teach(films, tmp_path / "work", base=str(known), keep_former=True, progress=tell)
    assert (tmp_path / name / "letter.txt").read_text() == "dear"


def test_ones_own_bundle_is_no_demonstration_and_has_pictures_of_its_steps(
    tiny_bundle: Path, films: list[Path], tmp_path: Path
) -> None:
    base = base_of(tiny_bundle, tmp_path / "base", limit=0.0, demonstration=True)
    teach(films, tmp_path / "mine", base=str(base), force=True)
    card = load_bundle(tmp_path / "mine").card
    assert (read_card(base).demonstration, card.demonstration) == (True, False)
    pictures = [read_step_picture(tmp_path / "mine", step) for step in card.small.steps]
    assert any(jpeg is not None and jpeg.startswith(b"\xff\xd8\xff") for jpeg in pictures)


def test_adding_needs_the_old_recordings_and_their_base(
    known: Path, films: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="teach it again from all recordings"):
        teach(films[:1], tmp_path / "nothing", add=True)
    base = tmp_path / "base"
    shutil.copytree(known, base)
    teach(films[:2], tmp_path / "work", base=str(base))
    with pytest.raises(UsageError, match="cannot be compared with those of lite0"):
        teach(films[2:], tmp_path / "work", base="lite0", add=True)
    shutil.rmtree(base)
    with pytest.raises(UsageError, match="was taught on base"):
        teach(films[2:], tmp_path / "work", add=True)


def test_adding_keeps_names_options_and_feedback_or_says_where_they_are(
    films: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "work"
    teach(films[:2], out, base="lite0", force=True)
    (graph,) = read_graphs(out / WORKFLOW_FILE)
    first, *rest = graph.steps
    write_graphs(
        [replace(graph, steps=(replace(first, name="pick up", optional=True), *rest))],
        out / WORKFLOW_FILE,
    )
    row, other = (
        Correction(said="wrong", kind="missing", step=step, alert=step)
        for step in (first.id, "step-99")
    )
    write_corrections(out, [row, other])
    report = teach(films[2:], out, add=True, force=True, keep_former=True)
    (graph,) = read_graphs(out / WORKFLOW_FILE)
    assert (graph.steps[0].name, graph.steps[0].optional) == ("pick up", True)
    assert read_corrections(out) == (row,)
    lost = f"1 of 2 words of feedback could not be kept; see {tmp_path / 'work.previous'}"
    assert lost in report.notes
    assert "pick up" in (out / "workflow.html").read_text(encoding="utf-8")
    assert "pick up" in (out / "steps.csv").read_text(encoding="utf-8")


def test_rows_of_recordings_that_are_not_given_are_told_and_those_of_added_to_ones_count(
    films: list[Path], tmp_path: Path
) -> None:
    table, out = tmp_path / "steps.csv", tmp_path / "work"
    rows = [f"right0.mp4,{10 * i},{10 * i + 10},,{text}" for i, text in enumerate(("in", "out"))]
    table.write_text("\n".join(["recording,start,end,label,text", *rows, "gone.mp4,0,9,,x"]))
    report = teach(films[:2], out, base="lite0", boundaries=table, force=True)
    assert f"{table} has rows of gone.mp4, which are none of the recordings" in report.notes
    assert [step.name for step in read_graphs(out / WORKFLOW_FILE)[0].steps] == ["in", "out"]

    table.write_text(table.read_text().replace(",in", ",put in"))
    teach(films[2:], out, add=True, boundaries=table, force=True)
    assert [step.name for step in read_graphs(out / WORKFLOW_FILE)[0].steps] == ["put in", "out"]


def test_cached_vectors_teach_the_same(known: Path, films: list[Path], tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache")
    for name in ("plain", "first", "second"):
        used = None if name == "plain" else cache
        teach(films, tmp_path / name, base=str(known), name="work", cache=used)
    assert cache.size().entries == len(films)
    plain = read_tensors(tmp_path / "plain")
    for name in ("first", "second"):
        found = read_tensors(tmp_path / name)
        assert all(bool((found[key] == plain[key]).all()) for key in plain)


def test_bad_recordings_are_named_and_nothing_is_written(
    known: Path, films: list[Path], tmp_path: Path
) -> None:
    short = tmp_path / "short.mp4"
    from test_teach_video import FPS, PATTERNS, SIDE

    from egomon.train.simulator.write import write_video

    picture = np.kron(PATTERNS["a"], np.ones((SIDE // 4, SIDE // 4, 1))).astype(np.uint8)
    write_video(short, (picture for _ in range(int(3 * FPS))), FPS)
    with pytest.raises(DataError, match=r"short\.mp4 is 3 s long"):
        teach([*films, short], tmp_path / "out", base=str(known))
    frozen = tmp_path / "frozen.mp4"
    write_video(frozen, (picture for _ in range(int(15 * FPS))), FPS)
    with pytest.raises(DataError, match=r"frozen\.mp4 shows the same picture"):
        teach([*films, frozen], tmp_path / "out", base=str(known))
    assert not (tmp_path / "out").exists()


def test_a_folder_for_each_workflow_makes_one_bundle_to_which_a_folder_of_that_name_is_added(
    foreign: Path, films: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "both"
    for workflow, film_of in (("washing", films[0]), ("cooking", films[1])):
        (tmp_path / workflow).mkdir()
        shutil.copy(film_of, tmp_path / workflow)
    folders = [tmp_path / "washing", tmp_path / "cooking"]
    report = teach(folders, out, base=str(foreign), force=True)
    assert (report.workflows, report.recordings) == (2, 2)
    bundle = load_bundle(out)
    assert isinstance(bundle.small, SeveralWorkflowsBranch)
    assert bundle.card.small.workflows == ("washing", "cooking")
    assert [graph.name for graph in read_graphs(out / WORKFLOW_FILE)] == ["washing", "cooking"]

    (folders[1] / films[1].name).unlink()
    shutil.copy(films[2], folders[1])
    teach(folders[1:], out, add=True, force=True)
    assert read_demonstrations(out).about.workflows == ("washing", "cooking", "cooking")
    with pytest.raises(UsageError, match="called like one of them: washing, cooking"):
        teach(films[2:], out, add=True)
    names = tmp_path / "names.txt"
    names.write_text("one\ntwo\n", encoding="utf-8")
    with pytest.raises(UsageError, match="--steps names the steps of one workflow"):
        teach(folders, tmp_path / "more", base=str(foreign), steps=names, force=True)

    graphs = read_graphs(out / WORKFLOW_FILE)
    one = WorkflowGraph("all", tuple(step for graph in graphs for step in graph.steps))
    steps = tuple(replace(step, name=step.id) for step in one.steps)
    write_graphs([replace(one, steps=steps)], out / WORKFLOW_FILE)
    with pytest.raises(BundleError, match=r"'washing' are not together in one \[\[workflow\]\]"):
        load_bundle(out)


@pytest.mark.parametrize("out", [".", "a/.."])
def test_a_folder_that_a_command_stands_in_is_no_place_for_a_bundle(
    films: list[Path], out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "bundle.json").write_text("{}")
    with pytest.raises(UsageError, match=r"cannot take the place of .*; name a folder"):
        teach(films, Path(out), keep_former=True)
