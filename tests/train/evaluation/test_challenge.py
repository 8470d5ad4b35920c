"""The challenge's prediction file: every clip answered, from the right segment."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from feature_sets import with_large, workshop, write_workshop
from made_videos import grey_video

from egomon.branches.bundle.card import StreamCard
from egomon.cli.app import app
from egomon.errors import DataError, UsageError
from egomon.train.evaluation.challenge import challenge, check_submission, write_submission
from egomon.train.evaluation.challenge_clips import (
    ChallengeClip,
    begins_with_coarse_actions,
    clip_name,
    match_rows,
    read_clips,
    segments_of,
)
from egomon.train.evaluation.evaluate import evaluate_features
from egomon.train.features.feature_set import FeatureSet, read_feature_set
from egomon.train.features.rows import SegmentRow
from egomon.train.features.write_feature_set import write_index
from egomon.train.fitting.fit import train
from egomon.train.fitting.recipe import Recipe

STREAM = StreamCard(fps=1.0, fine_frames=16, context_frames=64)
RECIPE = Recipe(
    name="shop",
    description="test",
    stream=STREAM,
    epochs=3,
    width=16,
    batch=32,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("challenge") / "bundle"
    train(RECIPE, workshop(), folder, quiet=True)
    return folder


def test_a_submission_answers_every_clip_with_python_floats(tmp_path: Path) -> None:
    listed = tmp_path / "clips.txt"
    listed.write_text("R1_a_b_6.990_8.0\nR1_a_b_8.0_9.5\nR2_0.0_1.0\n")
    clips = read_clips(listed)
    assert clips[0] == ("R1_a_b", 6.99, 8.0)
    write_submission(tmp_path / "out.json", clips, {clips[0]: True, clips[1]: False})
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "modality": "RGB",
        "R1_a_b_6.99_8.0": 1,
        "R1_a_b_8.0_9.5": 0,
        "R2_0.0_1.0": 0,
    }
    assert check_submission(tmp_path / "out.json", clips) == 1


def test_a_stray_score_and_a_broken_line_are_named(tmp_path: Path) -> None:
    listed = tmp_path / "clips.txt"
    listed.write_text("R1_1.0_2.0\nnonsense\n")
    with pytest.raises(DataError, match="line 2"):
        read_clips(listed)
    with pytest.raises(DataError, match=r"R9_1\.0_2\.0"):
        write_submission(tmp_path / "x", [("R1", 1.0, 2.0)], {("R9", 1.0, 2.0): True})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "one object with modality"),
        ("{", "no prediction file"),
        ('{"R1_1.0_2.0": 1}', "modality RGB"),
        ('{"modality": "RGB"}', "does not answer 'R1_1.0_2.0'"),
        ('{"modality": "RGB", "R1_1.0_2.0": true}', "is True, not 0 or 1"),
        ('{"modality": "RGB", "R1_1.0_2.0": 0.5}', "is 0.5, not 0 or 1"),
        ('{"modality": "RGB", "R1_1.0_2.0": 0, "R1_1.0_2.00": 0}', "not in the list"),
    ],
)
def test_a_file_that_a_server_would_refuse_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "out.json"
    path.write_text(text)
    with pytest.raises(DataError, match=told):
        check_submission(path, [("R1", 1.0, 2.0)])


@pytest.mark.parametrize("context", ["causal", "offline"])
def test_answers_are_what_evaluation_says_about_the_same_segments(
    bundle: Path, tmp_path: Path, context: str
) -> None:
    out = tmp_path / "out.json"
    told = challenge(bundle, workshop(8, seed=3), out, context=context)
    report = evaluate_features(bundle, workshop(8, seed=3), context=context)
    answers = json.loads(out.read_text())
    del answers["modality"]
    assert list(answers.values()) == (report.p >= report.threshold).astype(int).tolist()
    assert (told.clips, told.scored, told.mistakes) == (32, 32, sum(answers.values()))
    assert 0 < told.mistakes < 32


def test_segments_without_labels_are_answered_in_the_order_of_the_list(
    bundle: Path, tmp_path: Path
) -> None:
    folder = write_workshop(tmp_path / "set", 4)
    data = workshop(4)
    write_index(folder, data.card, [msgspec.structs.replace(r, label=None) for r in data.segments])
    listed = tmp_path / "clips.txt"
    listed.write_text("rec01_6.000_12.0\nother_1.0_2.0\nrec00_0.0_6.0\n")
    args = ["--model", bundle, "--data", folder, "--clips", listed, "--threshold", "0"]
    args += ["--context", "offline", "-o", tmp_path / "out.json", "--json"]
    result = CliRunner().invoke(app, ["challenge", *map(str, args)])
    assert result.exit_code == 0, result.exception
    told = json.loads(result.stdout)
    assert (told["clips"], told["scored"], told["context"]) == (3, 2, "offline")
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "modality": "RGB",
        "rec01_6.0_12.0": 1,
        "other_1.0_2.0": 0,
        "rec00_0.0_6.0": 1,
    }


def test_a_clip_may_begin_with_its_coarse_action(bundle: Path, tmp_path: Path) -> None:
    data = workshop(2)
    rows = tuple(
        msgspec.structs.replace(r, context_start=r.start // 12 * 12) for r in data.segments
    )
    listed = tmp_path / "clips.txt"
    listed.write_text("rec01_12.0_24.0\n")
    told = challenge(bundle, replace(data, segments=rows), tmp_path / "o.json", clips=listed)
    assert (told.clips, told.scored) == (1, 1)


def test_a_list_of_other_videos_is_refused(bundle: Path, tmp_path: Path) -> None:
    listed = tmp_path / "clips.txt"
    listed.write_text("other_1.0_2.0\n")
    with pytest.raises(DataError, match=r"other_1\.0_2\.0 is not among its segments"):
        challenge(bundle, workshop(4), tmp_path / "o.json", clips=listed)


def test_the_label_track_answers_in_seconds_of_the_video(tmp_path: Path) -> None:
    head = "video,task,id,start,end,correctness,verb,adj,noun,adverbial,explanation,corrected_by"
    rows = [
        f"v{n},tea,{k},{1.5 * k},{1.5 * k + 1},{kind},grab,,cup,,,"
        for n in range(12)
        for k, kind in ((1, "Correct Action"), (2, "Wrong Action not corrected"))
    ]
    (tmp_path / "fine.csv.gz").write_bytes(gzip.compress("\n".join([head, *rows]).encode()))
    train(RECIPE, tmp_path, tmp_path / "bundle", quiet=True)
    challenge(tmp_path / "bundle", tmp_path, tmp_path / "o.json")
    assert {"v3_1.5_2.5", "v11_3.0_4.0"} <= set(json.loads((tmp_path / "o.json").read_text()))


def of_coarse_actions(data: FeatureSet) -> FeatureSet:
    """The workshop as HoloAssist has it: two steps to a coarse action, with which V^c begins."""
    rows = (msgspec.structs.replace(r, context_start=r.start // 12 * 12) for r in data.segments)
    return replace(data, segments=tuple(rows))


def listed(path: Path, clips: list[ChallengeClip]) -> Path:
    path.write_text("\n".join(clip_name(*clip) for clip in clips) + "\n")
    return path


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("challenge") / "fused"
    shape = msgspec.structs.replace(RECIPE, large_width=8, gate_width=8, epochs=6)
    train(shape, of_coarse_actions(with_large(workshop())), folder, quiet=True)
    return folder


@pytest.mark.parametrize("begins", ["coarse", "fine"])
def test_a_labelled_copy_is_answered_as_evaluation_flags_it_by_both_branches(
    begins: str, fused: Path, tmp_path: Path
) -> None:
    data = of_coarse_actions(with_large(workshop(12, seed=3), seed=3))
    report = evaluate_features(fused, data)
    assert set(report.branches) == {"small", "large", "fused"}
    flagged = {
        (row.recording, row.end): bool(p >= at)
        for row, p, at in zip(data.segments, report.p, thresholds(fused, data), strict=True)
    }
    assert 0 < sum(flagged.values()) < len(flagged)
    clips = [
        (r.recording, r.context_start if begins == "coarse" else r.start, r.end)
        for r in data.segments
    ]
    told = challenge(fused, data, tmp_path / "o.json", clips=listed(tmp_path / "list.txt", clips))
    assert told.clips == told.scored == len(data.segments)
    answers = json.loads((tmp_path / "o.json").read_text())
    assert {(v, e): bool(answers[clip_name(v, s, e)]) for v, s, e in clips} == flagged
    # Without labels the answers are the same: nothing of them is looked at.
    hidden = replace(
        data, segments=tuple(msgspec.structs.replace(r, label=None) for r in data.segments)
    )
    challenge(fused, hidden, tmp_path / "h.json", clips=tmp_path / "list.txt")
    assert json.loads((tmp_path / "h.json").read_text()) == answers


def thresholds(bundle: Path, data: FeatureSet) -> list[float]:
    from egomon.branches.load_bundle import load_bundle
    from egomon.train.evaluation.stage_scores import score_stages

    return score_stages(load_bundle(bundle, with_encoder=False), data).threshold.tolist()


def test_a_part_of_the_list_is_answered_as_the_whole(bundle: Path, tmp_path: Path) -> None:
    data = workshop(6, seed=3)
    every = [(r.recording, r.start, r.end) for r in data.segments]
    whole = challenge(bundle, data, tmp_path / "a.json")
    some = challenge(bundle, data, tmp_path / "b.json", clips=listed(tmp_path / "l", every[1:9:3]))
    assert (whole.clips, some.clips) == (24, 3)
    a, b = (json.loads((tmp_path / f"{n}.json").read_text()) for n in "ab")
    assert b.items() <= a.items()


COARSE = [("v", 1.0, 7.25), ("v", 1.0, 3.0), ("v", 1.0, 4.5), ("w", 2.0, 5.0), ("v", 9.0, 9.5)]
FINE = [("v", 1.0, 3.0), ("v", 3.2, 4.5), ("v", 7.0, 7.25), ("w", 2.0, 5.0)]
FROM_RECORDING = StreamCard(context_from="recording_start")


def test_a_list_tells_by_shared_starts_that_it_begins_with_coarse_actions() -> None:
    assert begins_with_coarse_actions(COARSE)
    assert not begins_with_coarse_actions(FINE)
    assert not begins_with_coarse_actions([*FINE, ("v", 7.0, 7.4)])
    assert not begins_with_coarse_actions([])


def test_clips_of_coarse_actions_become_fine_actions_with_their_context() -> None:
    found = [(r.recording, r.context_start, r.start, r.end) for r in segments_of(COARSE, STREAM)]
    assert found == [
        ("v", 1.0, 1.0, 3.0),
        ("v", 1.0, 3.0, 4.5),
        ("v", 1.0, 4.5, 7.25),
        ("w", 2.0, 2.0, 5.0),
        ("v", 9.0, 9.0, 9.5),
    ]
    assert len(match_rows(COARSE, segments_of(COARSE, STREAM))) == len(COARSE)


def test_a_list_of_fine_actions_needs_contexts_that_began_with_the_recording() -> None:
    with pytest.raises(DataError, match=r"context_from = \"recording_start\".*or give the annot"):
        segments_of(FINE, STREAM)
    rows = segments_of([*FINE, FINE[0], ("v", 8.0, 8.0)], FROM_RECORDING)
    assert [(r.start, r.end, r.context_start) for r in rows if r.recording == "v"] == [
        (1.0, 3.0, 0.0),
        (3.2, 4.5, 0.0),
        (7.0, 7.25, 0.0),
    ]


def test_the_posed_segments_of_a_coarse_list_are_those_that_were_trained_on(
    fused: Path, tmp_path: Path
) -> None:
    """Where actions follow each other at once, nothing is lost by not knowing their starts."""
    data = of_coarse_actions(with_large(workshop(4, seed=3)))
    posed = segments_of([(r.recording, r.context_start, r.end) for r in data.segments], STREAM)
    plain = [
        SegmentRow(recording=r.recording, start=r.start, end=r.end, context_start=r.context_start)
        for r in data.segments
    ]
    assert sorted(posed, key=lambda r: (r.recording, r.end)) == plain


def test_the_card_says_where_the_contexts_of_the_training_began(bundle: Path, fused: Path) -> None:
    from egomon.branches.load_bundle import load_bundle

    found = [load_bundle(b, with_encoder=False).card.stream.context_from for b in (bundle, fused)]
    assert found == ["recording_start", "context_start"]
    # Which holds for every set it is asked about: a later start of the context changes nothing.
    late, plain = of_coarse_actions(workshop(8, seed=3)), workshop(8, seed=3)
    same = [evaluate_features(bundle, each).p.tolist() for each in (late, plain)]
    assert same[0] == same[1]
    other = [evaluate_features(fused, each).p.tolist() for each in (late, plain)]
    assert other[0] != other[1]


def test_videos_need_a_list_and_something_must_be_given(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--videos needs --clips"):
        challenge(bundle, tmp_path / "f", tmp_path / "o.json", videos=tmp_path)
    args = ["challenge", "-m", str(bundle), "-o", str(tmp_path / "o.json")]
    assert "give --videos DIR" in str(CliRunner().invoke(app, args).exception)


def test_videos_without_annotation_are_encoded_and_answered(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    """As those of the test split: films and the list, nothing else."""
    films = tmp_path / "films"
    for name in ("R1", "R2"):
        (films / name / "Export_py").mkdir(parents=True)
        grey_video(films / name / "Export_py" / "Video_pitchshift.mp4", 30)
    clips = [("R1", 0.0, 0.5), ("R1", 0.0, 1.0), ("R2", 0.0, 1.5), ("R2", 0.0, 2.0)]
    path = listed(tmp_path / "list.txt", clips)
    args = ["challenge", "-m", tiny_bundle, "--videos", films, "--clips", path]
    done = CliRunner().invoke(app, [*map(str, args), "-o", str(tmp_path / "o.json"), "--json"])
    assert done.exit_code == 0, done.exception
    told = json.loads(done.stdout)
    assert (told["clips"], told["scored"]) == (4, 4)
    data = read_feature_set(tmp_path / "o-vectors")
    assert [(r.start, r.end, r.label) for r in data.segments] == [
        (0.0, 0.5, None), (0.5, 1.0, None), (0.0, 1.5, None), (1.5, 2.0, None),
    ]  # fmt: skip
    assert data.large is not None  # both branches answer
