"""Readers of the published layouts, on miniature copies and on the shared data."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from egomon.branches.bundle.card import StreamCard
from egomon.errors import DataError
from egomon.train.datasets.holoassist import present
from egomon.train.datasets.holoassist_files import clip_segments, is_held
from egomon.train.datasets.open import open_data
from egomon.train.evaluation.scoring import clip_view, context_view

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
COLUMNS = "video,task,id,start,end,correctness,verb,adj,noun,adverbial,explanation,corrected_by"


def small_captaincook(folder: Path) -> Path:
    (folder / "features").mkdir(parents=True)
    steps = [
        {"start_time": 8, "end_time": 99.5, "description": "late", "has_errors": True,
         "errors": [{"tag": "Order Error", "description": "never an input"}]},
        {"start_time": -1, "end_time": -1, "description": "omitted", "has_errors": True},
        {"start_time": 0.2, "end_time": 4.0, "description": "first", "has_errors": False,
         "errors": []},
    ]  # fmt: skip
    record = {"activity_name": "Tea", "split": "test", "steps": steps}
    (folder / "annotations.json").write_text(json.dumps({"1_9": record, "1_10": record}))
    np.savez(folder / "features" / "1_9.npz", features=np.ones((10, 768), np.float16))
    return folder


def test_captaincook_drops_omitted_steps_sorts_and_takes_recordings_with_features(
    tmp_path: Path,
) -> None:
    data = open_data(small_captaincook(tmp_path))
    assert [(r.recording, r.text, r.label) for r in data.segments] == [
        ("1_9", "first", 0),
        ("1_9", "late", 1),
    ]
    assert data.segments[1].tags == ("Order Error",)
    assert data.track("1_9").times[:2].tolist() == [0.5, 1.5]


def test_captaincook_names_a_broken_step(tmp_path: Path) -> None:
    folder = small_captaincook(tmp_path)
    path = folder / "annotations.json"
    path.write_text(path.read_text().replace('"has_errors": false', '"wrong_key": false'))
    with pytest.raises(DataError, match=r"'1_9', step 2.*has_errors"):
        open_data(folder)


def small_step_vectors(folder: Path, offsets: tuple[int, ...] = (0, 3, 4)) -> Path:
    """Two recordings; a long step spans two others, and one ends together with it."""
    spans = [(10.0, 90.0, "boil"), (20.0, 40.0, "cut"), (50.0, 90.0, "stir")]
    steps = [
        {"step_id": k, "start_time": a, "end_time": b, "description": text, "has_errors": k == 1}
        for k, (a, b, text) in enumerate(spans)
    ]
    recordings = {"4_7": steps, "12_30": [{**steps[0], "start_time": 0}]}
    (folder / "steps.json").write_text(json.dumps({"recordings": recordings}))
    rows = np.arange(4, dtype=np.float16)[:, None] * np.ones(256, np.float16)
    np.savez(
        folder / "step_embeddings.npz",
        embeddings=rows, offsets=np.array(offsets), recordings=np.array(["4_7", "12_30"]),
    )  # fmt: skip
    return folder


def test_a_step_vector_lies_in_its_own_segment_and_its_context_holds_ended_steps_only(
    tmp_path: Path,
) -> None:
    data = open_data(small_step_vectors(tmp_path))
    rows = [row for row in data.segments if row.recording == "4_7"]
    assert [(r.text, r.label, r.workflow) for r in rows] == [
        ("cut", 1, "recipe 4"), ("boil", 0, "recipe 4"), ("stir", 0, "recipe 4"),
    ]  # fmt: skip
    stream, track = StreamCard(fps=1.0, fine_frames=512, context_frames=4096), data.track("4_7")
    clips = [clip_view(track, row, stream).vectors[:, 0].tolist() for row in rows]
    assert clips == [[1], [0], [2]]  # the numbers of their rows in the file
    contexts = [context_view(track, row, stream).vectors[:, 0].tolist() for row in rows]
    assert contexts == [[1], [1, 0], [1, 0, 2]]


def test_step_vectors_of_another_download_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'12_30' has 2 rows, but steps\.json has 1 steps"):
        open_data(small_step_vectors(tmp_path, (0, 2, 4)))
    with pytest.raises(DataError, match="offsets end at 3, but there are 4 rows"):
        open_data(small_step_vectors(tmp_path, (0, 2, 3)))


def test_a_broken_step_of_the_step_vectors_is_named(tmp_path: Path) -> None:
    folder = small_step_vectors(tmp_path)
    path = folder / "steps.json"
    good = path.read_text()
    path.write_text(good.replace('"end_time": 40.0', '"end_time": 4.0'))
    with pytest.raises(DataError, match=r"steps\.json: recording '4_7', step 'cut'.*start < end"):
        open_data(folder)
    path.write_text(good.replace('"has_errors": true', '"has_errors": "yes"'))
    with pytest.raises(DataError, match=r"steps\.json.*has_errors"):
        open_data(folder)
    path.write_text(good)
    (folder / "step_embeddings.npz").write_bytes(b"PK damaged")
    with pytest.raises(DataError, match=r"step_embeddings\.npz cannot be read"):
        open_data(folder)


def small_holoassist(folder: Path, rows: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "fine.csv.gz").write_bytes(gzip.compress("\n".join([COLUMNS, *rows]).encode()))
    return folder


def test_holoassist_rows_are_actions_and_otherwise_is_dropped(tmp_path: Path) -> None:
    rows = [
        'v1,tea,2,5.0,6.0,"Wrong Action, corrected by student",drop,none,cup,none,"it\nfell",none',
        "v1,tea,1,1.0,2.0,Correct Action,grab,none,cup,none,none,none",
        "v1,tea,3,7.0,8.0,otherwise,grab,none,cup,none,none,none",
    ]
    data = open_data(small_holoassist(tmp_path, rows))
    assert [(r.text, r.label) for r in data.segments] == [("grab cup", 0), ("drop cup", 1)]
    vectors = data.track("v1").vectors
    assert vectors.shape == (2, data.card.dim)
    assert not np.array_equal(vectors[0], vectors[1])
    assert data.stream_hours() == pytest.approx(5 / 3600)


def test_hours_are_those_of_the_chosen_recordings(tmp_path: Path) -> None:
    rows = [f"{v},t,1,0,{n},Correct Action,grab,,cup,,," for v, n in (("a", 36), ("b", 72))]
    data = open_data(small_holoassist(tmp_path, rows))
    assert data.stream_hours() == pytest.approx(0.03)
    assert data.select(["b"]).stream_hours() == pytest.approx(0.02)


def test_holoassist_names_a_row_of_an_unknown_class(tmp_path: Path) -> None:
    row = "v1,tea,1,1.0,2.0,Perhaps,grab,none,cup,none,none,none"
    with pytest.raises(DataError, match=r"fine\.csv\.gz, row 1: correctness 'Perhaps'"):
        open_data(small_holoassist(tmp_path, [row]))


def test_a_vocabulary_is_the_bundles_not_the_folders(tmp_path: Path) -> None:
    old = open_data(small_holoassist(tmp_path / "a", ["v,t,1,0,1,Correct Action,grab,,cup,,,"]))
    new = open_data(
        small_holoassist(tmp_path / "b", ["v,t,1,0,1,Correct Action,lift,,cup,,,"]),
        old.card.encoder,
    )
    gone = np.flatnonzero(old.track("v").vectors[0] != new.track("v").vectors[0])
    verbs = [k for k in gone if k < 3]  # one verb, one noun, one task; then the phrase's code
    assert verbs == [0]  # `lift` is unknown: no verb at all
    assert set(gone[1:]) <= set(range(3, present(old.card.encoder)))
    short = msgspec.structs.replace(old.card.encoder, dim=old.card.dim - 1)
    with pytest.raises(DataError, match="train the bundle again"):
        open_data(tmp_path / "b", short)


def test_holoassist_vectors_tell_of_the_past_and_never_of_the_future(tmp_path: Path) -> None:
    told = "v,t,{n},{n},{n}.5,Correct Action,{verb},,{noun},,,"
    verbs, nouns = ["grab", "turn", "grab", "grab"], ["cup", "cup", "lid", "cup"]
    rows = [
        told.format(n=n, verb=v, noun=w) for n, (v, w) in enumerate(zip(verbs, nouns, strict=True))
    ]
    data = open_data(small_holoassist(tmp_path / "a", rows))
    vectors, now = data.track("v").vectors, present(data.card.encoder)
    assert np.array_equal(vectors[0, :now], vectors[3, :now])  # the same action
    assert not np.array_equal(vectors[0, now:], vectors[3, now:])  # but not for the first time
    counts = vectors[:, now:].sum(axis=1)
    assert counts[0] < counts[1] < counts[3]  # nothing is known of what never came before
    first = open_data(small_holoassist(tmp_path / "b", rows[:2]), data.card.encoder)
    assert np.array_equal(first.track("v").vectors, vectors[:2])


def event(label: str, start: float, end: float, **attributes: object) -> dict[str, object]:
    named = {key.replace("_", " "): value for key, value in attributes.items()}
    return {
        "id": 1, "label": label, "type": "range", "start": start, "end": end, "attributes": named,
    }  # fmt: skip


def fine(start: float, end: float, correctness: str, verb: object = "grab") -> dict[str, object]:
    return event(
        "Fine grained action", start, end, Action_Correctness=correctness, Verb=verb, Noun="lid",
        Adjective="none", adverbial="none", Incorrect_Action_Explanation="never an input",
    )  # fmt: skip


def published_holoassist(folder: Path, *, splits: dict[str, list[str]] | None = None) -> Path:
    """The published layout in small: unsorted events, lists as verbs, a missing taskType."""
    wrong = "Wrong Action, corrected by performer"
    first = [
        event("Narration", 0, 60, Long_form_description="..."),
        fine(6.0, 7.2, "Wrong Action, corrected by instructor verbally", ["screw", "in"]),
        fine(5.0, 6, "Correct Action"),
        event("Coarse grained action", 5.0, 30.0, Action_sentence="...", Verb="open"),
        event("Conversation", 7.0, 8.0, Transcription="no, the other one"),
        fine(40.0, 41.0, wrong),
        fine(8.0, 9.0, "Others"),
    ]
    second = [
        event("Coarse grained action", 0.0, 3.0, Verb="close"),
        fine(0.5, 3.01, wrong),
        fine(3.5, 3.5, "Correct Action"),
    ]
    videos = [
        {
            "video_name": "R0001-01-Tea", "taskId": 3, "taskType": "tea",
            "videoMetadata": {"video": {"fps": 29.97}}, "events": first,
        },
        {"video_name": "z002-02-%20Go", "taskId": 4, "events": second},
    ]  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "data-annotation-trainval-v1_1.json").write_text(json.dumps(videos))
    for split, names in (splits or {}).items():
        where = folder / "data-splits-v1_2"
        where.mkdir(exist_ok=True)
        (where / f"{split}-v1_2.txt").write_text("\n".join(names) + "\n")
    return folder


def test_the_published_annotation_is_read_with_its_split_lists(tmp_path: Path) -> None:
    lists = {"train": ["R0001-01-Tea"], "val": ["z002-02-%20Go"], "test": ["hidden"]}
    data = open_data(published_holoassist(tmp_path, splits=lists))
    assert [(r.recording, r.text, r.label, r.split, r.workflow) for r in data.segments] == [
        ("R0001-01-Tea", "grab lid", 0, "train", "tea"),
        ("R0001-01-Tea", "screw in lid", 1, "train", "tea"),
        ("R0001-01-Tea", "grab lid", 1, "train", "tea"),
        ("z002-02-%20Go", "grab lid", 1, "val", "task 4"),
    ]
    assert data.stream_hours() == pytest.approx((36 + 2.51) / 3600)


def test_without_lists_the_inner_split_is_taken(tmp_path: Path) -> None:
    data = open_data(published_holoassist(tmp_path))
    for row in data.segments:
        assert row.split == ("val" if is_held(row.recording) else "train")


def test_a_clip_s_context_begins_with_its_coarse_action(tmp_path: Path) -> None:
    rows = clip_segments(published_holoassist(tmp_path))
    assert [(r.start, r.end, r.context_start) for r in rows] == [
        (6.0, 7.2, 5.0),
        (5.0, 6.0, 5.0),
        (0.5, 3.01, 0.0),  # 10 ms past its coarse action
    ]  # the action from 40 s on lies in none
    assert rows[0].tags == ("Wrong Action, corrected by instructor verbally",)


def test_a_video_in_two_lists_is_named_with_both_files(tmp_path: Path) -> None:
    lists = {"train": ["R0001-01-Tea"], "val": ["z002-02-%20Go", "R0001-01-Tea"]}
    with pytest.raises(DataError, match=r"val-v1_2\.txt, line 2: 'R0001-01-Tea'.*train-v1_2"):
        open_data(published_holoassist(tmp_path, splits=lists))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Correct Action", "Perhaps", r"'R0001-01-Tea', event 2: correctness 'Perhaps'"),
        ("Action Correctness", "Correctness", r"event 1.*without 'Action Correctness'"),
        ('"start": 5.0', '"start": "soon"', r"\.json is no HoloAssist annotation.*start"),
        ("z002-02-%20Go", "R0001-01-Tea", "comes twice"),
    ],
)
def test_a_broken_annotation_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    folder = published_holoassist(tmp_path)
    path = folder / "data-annotation-trainval-v1_1.json"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=told):
        list(open_data(folder).segments)


@pytest.mark.data
def test_captaincook_counts_are_the_published_ones() -> None:
    folder = SHARED / "captaincook4d"
    if not folder.is_dir():
        pytest.skip("../shared/data/captaincook4d is not here")
    data = open_data(folder)
    assert (len(data.recordings), len(data.segments), int(data.labels.sum())) == (81, 1042, 387)


@pytest.mark.data
def test_step_vector_counts_are_the_published_ones() -> None:
    folder = SHARED / "captaincook4d-egovlp"
    if not folder.is_dir():
        pytest.skip("../shared/data/captaincook4d-egovlp is not here")
    data = open_data(folder)
    assert (len(data.recordings), len(data.segments)) == (288, 4019)
    assert data.labels.mean() == pytest.approx(0.309, abs=1e-3)
    for name in data.recordings[:20]:
        assert len(data.track(name).times) == sum(r.recording == name for r in data.segments)


@pytest.mark.data
def test_holoassist_counts_are_the_published_ones() -> None:
    folder = SHARED / "holoassist"
    if not folder.is_dir():
        pytest.skip("../shared/data/holoassist is not here")
    with gzip.open(folder / "fine.csv.gz", "rb") as file:
        text = file.read().decode()
    reader = csv.DictReader(io.StringIO(text, newline=""))
    wanted = [r for r in reader if r["correctness"] != "otherwise"]
    data = open_data(folder)
    assert len(wanted) - len(data.segments) == 4  # rows without a length
    assert data.labels.mean() == pytest.approx(0.0482, abs=1e-4)
    assert len({r for r in data.recordings if is_held(r)}) == 298
