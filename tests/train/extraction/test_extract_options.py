"""`egomon extract` on servers: shards, jobs, damaged videos, full disks, and the run record."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from made_videos import grey_video

from egomon.cli.app import app
from egomon.errors import DataError, EgomonError, UsageError
from egomon.train.extraction import output
from egomon.train.extraction.extract import extract
from egomon.train.extraction.extract_worker import ExtractOptions
from egomon.train.extraction.find_videos import Shard
from egomon.train.extraction.progress import ExtractionProgress
from egomon.train.features.feature_set import read_feature_set

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of 4 s, each with two segments."""
    folder = tmp_path_factory.mktemp("options") / "videos"
    folder.mkdir()
    lines = ["recording,start,end,label"]
    for name in NAMES:
        grey_video(folder / f"{name}.mp4", 40)
        lines += [f"{name}.mp4,0.5,2,0", f"{name}.mp4,2,3.5,1"]
    (folder / "segments.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def whole(videos: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The feature set of one undisturbed run."""
    out = tmp_path_factory.mktemp("whole") / "f"
    extract(videos, out, model=str(tiny_bundle), large=True, quiet=True)
    return out


def run(*words: object) -> tuple[int, dict[str, Any] | str]:
    done = CliRunner().invoke(app, ["extract", *map(str, words), "--json"])
    if isinstance(done.exception, EgomonError):
        return done.exception.exit_code, str(done.exception)
    assert done.exit_code == 0, done.exception
    return 0, json.loads(done.stdout)


def arrays(*folders: Path) -> dict[str, bytes]:
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for folder in folders
        for path in folder.glob("*/*.npz")
    }


def test_shards_in_one_folder_are_the_whole_set(
    videos: Path, tiny_bundle: Path, tmp_path: Path, whole: Path
) -> None:
    out = tmp_path / "f"
    code, first = run(videos, "-o", out, "-m", tiny_bundle, "--large", "--shard", "1/2")
    assert (code, first["encoded"], first["segments"]) == (0, 2, 4)  # type: ignore[index]
    assert read_feature_set(out).recordings == ["a", "c"]
    run(videos, "-o", out, "-m", tiny_bundle, "--large", "--shard", "2/2")
    assert arrays(out) == arrays(whole)
    for name in ("dataset.json", "segments.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert not (out / "partial").exists()


def test_shards_in_two_folders_are_feature_sets_of_their_own(
    videos: Path, tiny_bundle: Path, tmp_path: Path, whole: Path
) -> None:
    for number in (1, 2):
        out = tmp_path / str(number)
        run(videos, "-o", out, "-m", tiny_bundle, "--large", "--shard", f"{number}/2")
    assert arrays(tmp_path / "1", tmp_path / "2") == arrays(whole)
    assert read_feature_set(tmp_path / "2").recordings == ["b"]
    shutil.copytree(tmp_path / "2", tmp_path / "1", dirs_exist_ok=True)
    code, merged = run(videos, "-o", tmp_path / "1", "-m", tiny_bundle, "--large")
    assert (code, merged["encoded"], merged["segments"]) == (0, 0, 6)  # type: ignore[index]


def test_a_shard_without_a_recording_writes_no_index(
    videos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    code, told = run(videos, "-o", tmp_path / "f", "-m", tiny_bundle, "--shard", "4/4")
    assert (code, told["segments"]) == (0, 0)  # type: ignore[index]
    assert not (tmp_path / "f" / "dataset.json").exists()


def test_an_index_names_what_another_shard_finished_meanwhile(
    videos: Path, tiny_bundle: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = tmp_path / "f", output.write_index
    written = []

    def late(folder: Path, *rest: Any) -> None:
        real(folder, *rest)
        if not written:
            shutil.copy(whole / "features" / "b.npz", out / "features")
            shutil.copy(whole / "large" / "b.npz", out / "large")
        written.append(folder)

    monkeypatch.setattr(output, "write_index", late)
    run(videos, "-o", out, "-m", tiny_bundle, "--large", "--shard", "1/2")
    assert len(written) == 2
    assert read_feature_set(out).recordings == list(NAMES)


def test_several_jobs_give_the_same_arrays(
    videos: Path, tiny_bundle: Path, tmp_path: Path, whole: Path
) -> None:
    run(videos, "-o", tmp_path / "f", "-m", tiny_bundle, "--large", "--jobs", "3")
    assert arrays(tmp_path / "f") == arrays(whole)


def test_damaged_videos_are_listed_and_skipped_only_where_asked(
    videos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(videos, tmp_path / "videos"))
    whole_video = (folder / "b.mp4").read_bytes()
    (folder / "b.mp4").write_bytes(whole_video[: len(whole_video) // 2])
    out = tmp_path / "f"
    code, told = run(folder, "-o", out, "-m", tiny_bundle)
    assert code == 3
    assert "b.mp4" in str(told)
    assert "--skip-damaged" in str(told)
    assert read_feature_set(out).recordings == ["a"]  # what was extracted stays usable
    code, told = run(folder, "-o", out, "-m", tiny_bundle, "--skip-damaged")
    assert isinstance(told, dict)
    assert (code, told["encoded"], told["kept"], list(told["skipped"])) == (0, 1, 1, ["b"])
    assert read_feature_set(out).recordings == ["a", "c"]
    record = json.loads(Path(told["record"]).read_text())
    assert record["counts"]["skipped"] == 1
    (folder / "b.mp4").write_bytes(whole_video)
    code, told = run(folder, "-o", out, "-m", tiny_bundle, "--skip-damaged")
    assert isinstance(told, dict)
    assert (told["skipped"], told["segments"]) == ({}, 6)


def test_a_damaged_video_is_told_in_the_table(
    videos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(videos, tmp_path / "videos"))
    (folder / "b.mp4").write_bytes(b"no [red]video")
    words = ["extract", folder, "-o", tmp_path / "f", "-m", tiny_bundle, "--skip-damaged"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.exception
    assert "skipped b: " in done.stdout


def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(
    videos: Path, tiny_bundle: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = tmp_path / "f", os.fsync
    synced = []

    def full(number: int) -> None:
        synced.append(number)
        if len(synced) > 3:  # the card and the first recording fit
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(number)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        code, told = run(videos, "-o", out, "-m", tiny_bundle, "--large")
    assert code == 2
    assert "No space left on device" in str(told)
    assert "make room" in str(told)
    assert not list(out.rglob("*.new"))
    assert len(list((out / "features").iterdir())) == 1
    code, told = run(videos, "-o", out, "-m", tiny_bundle, "--large")
    assert isinstance(told, dict)
    assert (told["kept"], told["encoded"]) == (1, 2)
    assert arrays(out) == arrays(whole)


def test_a_begun_folder_takes_no_other_encoder(
    videos: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise DataError("no")

    with monkeypatch.context() as patched:
        patched.setattr(output, "write_track", fail)
        assert run(videos, "-o", tmp_path / "f", "-m", tiny_bundle)[0] == 2
    assert not (tmp_path / "f" / "dataset.json").exists()
    code, told = run(videos, "-o", tmp_path / "f", "-m", "workbench")
    assert code == 2
    assert "choose another folder" in str(told)


def test_a_run_leaves_a_record(videos: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    code, told = run(videos, "-o", tmp_path / "f", "-m", tiny_bundle, "--large", "--shard", "1/2")
    assert code == 0
    assert isinstance(told, dict)
    record = json.loads(Path(told["record"]).read_text())
    assert Path(told["record"]).name.endswith("-1of2.json")
    assert record["counts"] == {
        "encoded": 2,
        "kept": 0,
        "skipped": 0,
        "frames": 32,
        "segments": 4,
        "lost_frames": 0,
    }
    assert record["error"] is None
    assert record["versions"]["egomon"]
    assert record["encoder"]["weights_sha256"]
    assert (record["options"]["shard"], record["options"]["batch"]) == ("1/2", 16)
    assert [r["name"] for r in record["recordings"]] == ["a", "c"]
    assert told["frames_per_second"] > 0 < told["segments_per_second"]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "1", "a/b", "1/2/3", "-1/2", " 1/2"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not I/N"):
        Shard.parse(text)


def test_shards_are_all_recordings_once() -> None:
    items = list(range(10))
    found = [Shard(number, 4).of(items) for number in range(1, 5)]
    assert sorted(item for shard in found for item in shard) == items
    assert max(map(len, found)) - min(map(len, found)) == 1


@pytest.mark.parametrize("option", ["batch", "jobs"])
def test_options_below_one_are_refused(option: str) -> None:
    values: dict[str, Any] = {option: 0}
    with pytest.raises(UsageError, match=f"--{option} is 0"):
        ExtractOptions(**values).check()


def test_a_device_that_is_not_there_is_refused(videos: Path, tmp_path: Path) -> None:
    code, told = run(videos, "-o", tmp_path / "f", "--torch-device", "cuda:99")
    assert code == 2
    assert "not there" in str(told)
    assert not (tmp_path / "f").exists()


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    code, told = run(tmp_path / "none", "-o", tmp_path / "f")
    assert code == 2
    assert "cannot be read" in str(told)


def test_the_line_tells_speeds_and_finished_recordings() -> None:
    now = [10.0]
    progress = ExtractionProgress(4, quiet=True, clock=lambda: now[0])
    now[0] = 12.0
    progress.on_frames(30)
    progress.on_segments(5)
    progress.on_share("[red]a", 0.5)
    assert progress.line() == "0/4 recordings, 15.0 frames/s, 2.5 segments/s"
    progress.on_share("[red]a", 1.0)
    assert progress.line().startswith("1/4 recordings")
