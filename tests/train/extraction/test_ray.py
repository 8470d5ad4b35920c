"""Extraction on a real local Ray cluster, by `make soak`: Ray is too much for every run."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from click.testing import CliRunner
from made_videos import grey_video

from egomon.cli.app import app
from egomon.errors import EgomonError, MissingExtraError, UsageError
from egomon.train.extraction.extract_worker import CUDA_BATCH, ExtractOptions
from egomon.train.extraction.ray_extract import RayOptions, connect, extract_on_ray, on_ray


@pytest.fixture
def needs_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    # Ray's workers are polite to everything else on the machine, and then starve in a test.
    monkeypatch.setenv("RAY_worker_niceness", "0")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray") / "videos"
    folder.mkdir()
    lines = ["recording,start,end,label"]
    for name in "abc":
        grey_video(folder / f"{name}.mp4", 40)
        lines += [f"{name}.mp4,0.5,2,0", f"{name}.mp4,2,3.5,1"]
    (folder / "segments.csv").write_text("\n".join(lines))
    return folder


def run(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["extract", *map(str, words), "--json"])
    if isinstance(done.exception, EgomonError):
        raise done.exception
    assert done.exit_code == 0, done.exception
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def arrays(folder: Path) -> dict[str, bytes]:
    return {f"{p.parent.name}/{p.name}": p.read_bytes() for p in folder.glob("*/*.npz")}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_actors_make_the_arrays_of_one_process_and_skip_damaged_videos(
    videos: Path, tiny_bundle: Path, tmp_path: Path, needs_ray: None
) -> None:
    run(videos, "-o", tmp_path / "f", "-m", tiny_bundle, "--large")
    folder = Path(shutil.copytree(videos, tmp_path / "videos"))
    (folder / "b.mp4").write_bytes(b"no video")
    words = (folder, "-o", tmp_path / "g", "-m", tiny_bundle, "--large", "--ray", "local")
    with pytest.raises(EgomonError, match=r"b\.mp4.*--skip-damaged") as raised:
        run(*words, "--ray-actors", "1")
    assert raised.value.exit_code == 3
    told = run(*words, "--ray-actors", "1", "--skip-damaged")
    assert list(told["skipped"]) == ["b"]
    shutil.copy(videos / "b.mp4", folder)
    told = run(*words, "--ray-actors", "2")
    assert (told["encoded"], told["kept"], told["segments"]) == (1, 2, 6)
    assert arrays(tmp_path / "g") == arrays(tmp_path / "f")


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_without_room_is_told(
    videos: Path, tiny_bundle: Path, tmp_path: Path, needs_ray: None
) -> None:
    words = (videos, "-o", tmp_path / "g", "-m", tiny_bundle, "--ray", "local")
    with pytest.raises(UsageError, match=r"an actor asks for 1 and 7: change --ray-cpus"):
        run(*words, "--ray-gpus", "7")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_does_not_answer_is_told(
    videos: Path, tiny_bundle: Path, tmp_path: Path, needs_ray: None
) -> None:
    with pytest.raises(UsageError, match=r"Ray at 'nonsense' cannot be reached.*take --ray local"):
        run(videos, "-o", tmp_path / "g", "-m", tiny_bundle, "--ray", "nonsense")
    assert not (tmp_path / "g").exists()


def test_without_ray_the_extra_is_named(
    videos: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"--ray needs.*egomon\[ray\]"):
        run(videos, "-o", tmp_path / "g", "-m", tiny_bundle, "--ray", "local")
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"actors": 0}, "--ray-actors is 0"),
        ({"cpus": 0.0}, "--ray-cpus is 0"),
        ({"cpus": float("nan")}, "--ray-cpus is nan"),
        ({"gpus": -1.0}, "--ray-gpus is -1"),
    ],
)
def test_values_that_mean_nothing_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        on_ray(None, RayOptions(address="local", **values))


@pytest.mark.parametrize(
    ("asked", "videos", "begin", "most"),
    [(None, 9, 4, 4), (2, 9, 2, 2), (None, 3, 3, 3), (6, 9, 4, 6), (None, 0, 1, 1)],
)
def test_all_actors_that_have_room_begin_at_once(
    asked: int | None,
    videos: int,
    begin: int,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = MagicMock()
    data.from_items.return_value.map_batches.return_value.iter_rows.return_value = ()
    ray = MagicMock(data=data)
    ray.cluster_resources.return_value = {"CPU": 9.0}
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", data)
    task = MagicMock(videos=("a.mp4",) * videos, options=ExtractOptions(jobs=1))
    options = RayOptions(address="auto", actors=asked, cpus=2.0)
    assert list(extract_on_ray(options, task, quiet=True)) == []
    data.ActorPoolStrategy.assert_called_once_with(
        min_size=begin, max_size=most, max_tasks_in_flight_per_actor=1
    )


def test_an_address_where_nothing_listens_is_told_without_ray_s_own_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = MagicMock()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", ray.data)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"Ray at '{address}' cannot be reached"):
            connect(RayOptions(address=address))
    ray.init.assert_not_called()


def test_an_actor_s_options_do_not_depend_on_the_machine_that_asks() -> None:
    small = on_ray(None, RayOptions(address="local", cpus=2.5))
    assert (small.device, small.batch, small.jobs, small.threads) == ("cpu", 16, 1, 2)
    large = on_ray(ExtractOptions(jobs=3), RayOptions(address="auto", gpus=0.5))
    assert (large.device, large.batch, large.jobs) == ("auto", CUDA_BATCH, 3)
