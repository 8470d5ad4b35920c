"""The commands of docs/reproduce.md, as they stand there, on a miniature HoloAssist."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from made_videos import grey_video
from safetensors.torch import load_file, save_file
from tiny_models import CLIP_DIM, CLIP_PX, LARGE_DIM

from egomon.branches.load_bundle import load_bundle
from egomon.cli.app import app
from egomon.errors import BundleError, EgomonError, UsageError

PAGE = Path(__file__).parents[2] / "docs" / "reproduce.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
SECONDS = 6
TRAIN, VAL, HIDDEN = ("R007-7July-DSLR", "R1", "R2", "R3"), ("R4", "R5"), ("R6", "R7")
TINY = f"""
[frame_encoder]
library = "open_clip"
architecture = "tiny"
weights = "clip"
image_px = {CLIP_PX}
dim = {CLIP_DIM}
[large_encoder]
weights = "qwen"
frames = 4
frame_px = 64
max_tokens = 64
dim = {LARGE_DIM}
"""


def commands() -> list[list[str]]:
    blocks = [body for language, body in FENCE.findall(PAGE.read_text("utf-8")) if not language]
    found = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in found if line.startswith("egomon ")]


def miniature(folder: Path) -> Path:
    """The published layout: six annotated films of two coarse actions, two hidden ones."""
    videos = []
    for name in (*TRAIN, *VAL, *HIDDEN):
        (folder / name / "Export_py").mkdir(parents=True)
        grey_video(folder / name / "Export_py" / "Video_pitchshift.mp4", 10 * SECONDS)
        if name not in HIDDEN:
            videos.append({"video_name": name, "taskType": "t", "events": events(name)})
    (folder / "data-annotation-trainval-v1_1.json").write_text(json.dumps(videos))
    splits = folder / "data-splits-v1_2"
    splits.mkdir()
    for split, names in {"train": TRAIN, "val": VAL, "test": HIDDEN}.items():
        (splits / f"{split}-v1_2.txt").write_text("\n".join(names))
    clips = [f"{n}_{k // 3 * 3:.1f}_{k + 1:.1f}" for n in HIDDEN for k in range(SECONDS)]
    (folder / "test_action_clips-v1_2.txt").write_text("\n".join(clips) + "\n")
    return folder


def events(name: str) -> list[dict[str, Any]]:
    made = [{"label": "Coarse grained action", "start": s, "end": s + 3} for s in (0, 3)]
    for k in range(SECONDS):
        wrong = (k + len(name)) % 2
        told = {"Action Correctness": "Wrong Action, not corrected" if wrong else "Correct Action"}
        made.append({"label": "Fine grained action", "start": k, "end": k + 1, "attributes": told})
    return made


def run(words: list[str]) -> str:
    done = CliRunner().invoke(app, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def reproduced(
    tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path, tiny_qwen: Path
) -> dict[str, Any]:
    """The folder after all commands but those that need a camera, and what each printed."""
    folder = tmp_path_factory.mktemp("reproduce")
    miniature(folder / "HoloAssist")
    shutil.copytree(tiny_clip, folder / "clip")
    shutil.copytree(tiny_qwen, folder / "qwen")
    printed = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in commands():
            if words[0] == "run":  # watches a camera
                continue
            printed[words[0]] = run(words)
            if words[:2] == ["models", "new"]:
                (folder / "encoders.toml").write_text(TINY)
    return {"folder": folder, "printed": printed}


def test_the_page_goes_from_encoders_to_a_live_run() -> None:
    verbs = [words[0] for words in commands()]
    assert verbs == ["models", "extract", "train", "evaluate", "challenge", "replay", "run"]


def test_both_branches_are_in_the_bundle_and_in_the_scores(reproduced: dict[str, Any]) -> None:
    card = json.loads((reproduced["folder"] / "paper-bundle" / "bundle.json").read_bytes())
    assert card["large"]["weights_sha256"]
    assert card["frame_encoder"]["weights_sha256"]
    assert card["gate"]
    assert card["guard"]
    assert card["stream"]["context_from"] == "context_start"
    assert card["metrics"]["val/seeds"] == 3
    record = json.loads((reproduced["folder"] / "paper-bundle" / "train_record.json").read_bytes())
    assert record["data"]["segments"] == 36
    assert [len(fit["epochs"]) for fit in record["fits"]] == [5, 5, 5]
    for row in ("small", "large", "fused"):
        assert re.search(rf"│ {row} +│", reproduced["printed"]["evaluate"])


def test_every_clip_of_the_list_is_answered(reproduced: dict[str, Any]) -> None:
    answers = json.loads((reproduced["folder"] / "predictions.json").read_text())
    listed = (reproduced["folder"] / "HoloAssist" / "test_action_clips-v1_2.txt").read_text()
    assert answers.pop("modality") == "RGB"
    assert set(answers) == set(listed.split())
    told = [cell.strip() for cell in reproduced["printed"]["challenge"].split("│")]
    assert told[5:7] == ["12", "12"]  # all clips, all with a score


def test_the_entry_of_a_labelled_split_is_what_evaluation_flags(
    reproduced: dict[str, Any], tmp_path: Path
) -> None:
    """The list of the validation split, over films whose annotation is not looked at."""
    folder = reproduced["folder"]
    films = tmp_path / "films"
    for name in VAL:
        shutil.copytree(folder / "HoloAssist" / name, films / name)
    clips = [f"{n}_{k // 3 * 3:.1f}_{k + 1:.1f}" for n in VAL for k in range(SECONDS)]
    (tmp_path / "list.txt").write_text("\n".join(clips))
    bundle = tmp_path / "bundle"
    shutil.copytree(folder / "paper-bundle", bundle)
    told = evaluate(bundle, folder / "vectors")
    scores = dict(zip([(v, e) for v, _, e in told.times], told.p, strict=True))
    # A threshold in the midst of the scores: at the budget's, a random head may flag nothing.
    middle = float(sorted(told.p)[len(told.p) // 2])
    args = ["challenge", "-m", bundle, "--videos", films, "--clips", tmp_path / "list.txt"]
    run([*map(str, args), "-o", str(tmp_path / "o.json"), "--threshold", str(middle)])
    answers = json.loads((tmp_path / "o.json").read_text())
    found = {
        (n, k + 1.0): answers[f"{n}_{k // 3 * 3:.1f}_{k + 1:.1f}"] for n in VAL for k in range(6)
    }
    assert found == {key: int(p >= middle) for key, p in scores.items()}
    assert 0 < sum(found.values()) < len(found)


def evaluate(bundle: Path, vectors: Path) -> Any:
    from egomon.train.evaluation.evaluate import evaluate_features

    return evaluate_features(bundle, vectors, split="val")


def test_a_run_uses_the_large_branch(reproduced: dict[str, Any]) -> None:
    folder = reproduced["folder"]
    video = folder / "HoloAssist" / TRAIN[0] / "Export_py" / "Video_pitchshift.mp4"
    args = ["replay", video, "-m", folder / "paper-bundle", "--store", "none", "--json"]
    summary = json.loads(run([str(arg) for arg in args]).splitlines()[-1])
    assert summary["segments"] > 0
    assert not summary["degraded"]


@pytest.mark.parametrize("which", ["clip", "qwen"])
def test_exchanged_weights_are_refused_by_every_verb(
    which: str, reproduced: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "all"
    shutil.copytree(reproduced["folder"], folder)
    for path in (folder / "vectors" / "dataset.json", folder / "paper-bundle" / "bundle.json"):
        path.write_text(path.read_text().replace(str(reproduced["folder"]), str(folder)))
    video = folder / "HoloAssist" / TRAIN[0] / "Export_py" / "Video_pitchshift.mp4"
    bundle, vectors = folder / "paper-bundle", folder / "vectors"
    verbs: list[list[Any]] = [
        ["extract", folder / "HoloAssist", "--encoders", folder / "encoders.toml", "--large", "-o",
         vectors],
        ["train", "-r", "paper", "--data", vectors, "-o", folder / "again"],
        ["evaluate", "-m", bundle, "--data", vectors],
        ["replay", video, "-m", bundle, "--store", "none"],
    ]  # fmt: skip
    load_bundle(bundle)
    [weights] = (folder / which).glob("*.safetensors")
    state = load_file(weights)
    name = max(state, key=lambda key: state[key].numel())
    state[name].view(-1)[0] += 1
    save_file(state, weights, metadata={"format": "pt"})
    for words in verbs:
        with pytest.raises(EgomonError, match=r"weights|large encoder") as told:
            run([str(word) for word in words])
        assert isinstance(told.value, BundleError | UsageError), words
