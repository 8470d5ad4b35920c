"""Fixtures of the end-to-end tests: a video, a free pair of ports, the command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from command import Run


def environment(folder: Path) -> dict[str, str]:
    """The command as a user has it, but with its own data folder and one thread."""
    return {
        **os.environ,
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "120",
    }


@pytest.fixture
def egomon(tmp_path: Path) -> Run:
    """Run `egomon ARGS` to its end."""

    def run(*args: object, timeout: float = 90.0, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "egomon", *map(str, args)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**environment(tmp_path), **env},
            cwd=tmp_path,
            check=False,
        )

    return run


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `egomon ARGS` in the background; it is killed at the end of the test."""
    running: list[subprocess.Popen[str]] = []

    def begin(*args: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "egomon", *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(tmp_path),
            cwd=tmp_path,
        )
        running.append(process)
        return process

    yield begin  # type: ignore[misc]
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s of moving noise and colour, 160x120, 15 fps."""
    path = tmp_path_factory.mktemp("video") / "work.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(180):
            picture = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8) // 3
            picture[:, (i * 3) % 160 :] += np.uint8(90 + 60 * (i // 45 % 2))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def endpoints() -> tuple[str, str]:
    """Two neighbouring free ports: events, requests."""
    for _ in range(50):
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with socket.socket() as second:
                try:
                    second.bind(("127.0.0.1", port + 1))
                except OSError:
                    continue
        return f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port + 1}"
    raise RuntimeError("no two neighbouring free ports")
