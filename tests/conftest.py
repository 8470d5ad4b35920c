"""Fixtures that many folders share: tiny models, built once a session."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

# Examples may take as long as a busy machine makes them: only a hang is a fault.
hypothesis.settings.register_profile("egomon", deadline=None)
hypothesis.settings.load_profile("egomon")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a complete tiny bundle, read only: copy it to change it."""
    from tiny_models import build_tiny_bundle

    return build_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip folder with a tiny tower."""
    from tiny_models import build_tiny_clip

    return build_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3-VL folder."""
    from tiny_models import build_tiny_qwen3vl

    return build_tiny_qwen3vl(tmp_path_factory.mktemp("qwen"))


@pytest.fixture(autouse=True)
def usual_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system grants is not the tests' business: a source that is not paced by a camera's
    clock would outrun the branches, and what waits is dropped.
    """
    monkeypatch.setattr("egomon.stream.worker.raise_priority", lambda: "usual")
