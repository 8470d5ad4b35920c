"""Labelled videos through the monitor: what is cached changes nothing but the time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from egomon.branches.bundle.card import BundleCard
from egomon.cli.app import app
from egomon.cli.verbs import evaluate_videos as module
from egomon.cli.verbs.evaluate_videos import evaluate_videos
from egomon.train.features.vector_cache import VectorCache
from egomon.train.simulator.write import write_video

FPS = 8.0


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle without its large branch, in fixed windows."""
    from egomon.branches.load_bundle import read_tensors, save_bundle

    card = msgspec.json.decode((tiny_bundle / "bundle.json").read_bytes(), type=BundleCard)
    stream = msgspec.structs.replace(card.stream, policy="fixed")
    card = msgspec.structs.replace(card, large=None, gate=None, stream=stream)
    kept = {
        name: tensor
        for name, tensor in read_tensors(tiny_bundle).items()
        if not name.startswith(("gate.", "large_head."))
    }
    return save_bundle(tmp_path_factory.mktemp("small") / "small", card, kept)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for seed, name in enumerate(("one", "two")):
        rng = np.random.default_rng(seed)

        def frames(rng: np.random.Generator = rng) -> Iterator[np.ndarray]:
            for i in range(int(13 * FPS)):
                base = 60 + 40 * (i // 32 % 3)
                yield rng.integers(base, base + 60, (48, 64, 3)).astype(np.uint8)

        write_video(folder / f"{name}.mp4", frames(), FPS)
    rows = ["recording,start,end,label,tags", "one,0,6,0,", "one,6,12,1,slip", "two.mp4,2,8,1,slip"]
    (folder / "segments.csv").write_text("\n".join(rows))
    return folder


def test_cached_and_not_cached_give_one_report(
    bundle: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = VectorCache(tmp_path / "cache")
    plain = evaluate_videos(str(bundle), videos, quiet=True)
    first = evaluate_videos(str(bundle), videos, quiet=True, cache=cache)
    assert cache.size().entries == 2

    opened: list[str] = []
    monkeypatch.setattr(
        "egomon.train.features.encode_video.open_source", lambda ref, **_: opened.append(ref)
    )
    again = evaluate_videos(str(bundle), videos, quiet=True, cache=cache)
    assert opened == []
    assert plain.n == 3
    assert plain == first == again


def test_a_large_branch_gets_its_pixels(tiny_bundle: Path, videos: Path, tmp_path: Path) -> None:
    from egomon.branches.load_bundle import load_bundle

    loaded = load_bundle(tiny_bundle)
    assert loaded.card.large is not None
    request, seeing = module._played(videos / "one.mp4", loaded, VectorCache(tmp_path))
    assert (request.source, seeing) == (None, loaded)


def test_the_verb_keeps_vectors_and_cache_tells_and_clears(
    bundle: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / name))
    run = CliRunner().invoke

    def size() -> dict[str, int]:
        found: dict[str, int] = json.loads(run(app, ["cache", "size", "--json"]).stdout)
        return found

    given = ["evaluate", "--model", str(bundle), "--videos", str(videos), "--json"]
    assert run(app, [*given, "--no-cache"]).exit_code == 0
    assert size()["entries"] == 0
    result = run(app, given)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["recordings"] == 2
    assert size()["entries"] == 2
    assert str(tmp_path) in run(app, ["cache", "size"]).stdout
    assert "2 recordings" in run(app, ["cache", "clear"]).stdout
    assert size()["entries"] == 0
