"""Damaged recordings end or are refused in one sentence: no hang, no crash of the interpreter."""

from __future__ import annotations

import io
import json
import os
import random
import selectors
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from videos import pictures, write_video

CHILD = Path(__file__).with_name("fuzz_child.py")
ONE_FILE_SECONDS = 20.0
MOST_MB = 1500
ODD_NUMBERS = (0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 0x00FFFFFF)


def good_files() -> dict[str, bytes]:
    """One small recording of each kind, by suffix."""
    images = pictures(18, 96, 64)
    kinds: list[tuple[str, str, str, dict[str, str]]] = [
        ("mp4", "mp4", "libx264", {"bf": "2", "g": "6"}),
        ("frag.mp4", "mp4", "libx264", {"g": "6"}),
        ("mkv", "matroska", "libx264", {"g": "6"}),
        ("avi", "avi", "mjpeg", {}),
        ("mpeg4.avi", "avi", "mpeg4", {}),
        ("ts", "mpegts", "libx264", {"g": "6"}),
        ("mov", "mov", "mjpeg", {}),
        ("webm", "webm", "libvpx", {"deadline": "realtime"}),
    ]
    found = {}
    for suffix, container, codec, options in kinds:
        target = io.BytesIO()
        muxer = {"movflags": "frag_keyframe+empty_moov"} if suffix == "frag.mp4" else {}
        write_video(target, images, container=container, codec=codec, options=options, muxer=muxer)
        found[suffix] = target.getvalue()
    for suffix in ("jpg", "png"):
        done, data = cv2.imencode(f".{suffix}", np.ascontiguousarray(images[0]))
        assert done
        found[suffix] = data.tobytes()
    return found


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to eight wounds; the head of a file, where its numbers are, is wounded more often."""
    mutated = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 8])):
        if len(mutated) < 8:
            break
        reach = len(mutated) - 4 if rng.random() < 0.5 else min(len(mutated) - 4, 600)
        at = rng.randrange(max(1, reach))
        size = rng.choice([1, 4, 16, 188, 1000])
        match rng.randrange(8):
            case 0:
                mutated[at] ^= 1 << rng.randrange(8)
            case 1:
                mutated[at] = rng.randrange(256)
            case 2:
                form = rng.choice(["<I", ">I"])
                mutated[at : at + 4] = struct.pack(form, rng.choice(ODD_NUMBERS))
            case 3:
                del mutated[at : at + size]
            case 4:
                mutated[at:at] = rng.randbytes(size)
            case 5:
                mutated[at:at] = mutated[at : at + size]
            case 6:
                del mutated[len(mutated) - rng.randrange(len(mutated)) :]
            case 7:
                mutated[at : at + size] = bytes(size)
    return bytes(mutated)


class Reader:
    """A child process that reads recordings; a new one after it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, path: Path) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", str(CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\n".encode())
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(ONE_FILE_SECONDS):
                self.close()
                return {"outcome": f"hung for {ONE_FILE_SECONDS:g} s"}
        line = process.stdout.readline()
        if not line:
            code = process.wait(10)
            self.close()
            return {"outcome": f"crashed with {code}"}
        return dict(json.loads(line))

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_recordings_end_or_are_refused(count: int, tmp_path: Path) -> None:
    files = good_files()
    reader = Reader()
    outcomes: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    bad: list[str] = []
    try:
        for suffix, data in files.items():
            path = tmp_path / f"good.{suffix}"
            path.write_bytes(data)
            assert reader.read(path)["outcome"] == "end", suffix
        for number in range(count):
            rng = random.Random(number)
            suffix = list(files)[number % len(files)]
            path = tmp_path / f"{number}.{suffix}"
            path.write_bytes(mutate(files[suffix], rng))
            found = reader.read(path)
            outcomes[found["outcome"]] += 1
            if found["outcome"] == "refused":
                codes[found["code"]] += 1
                assert "\n" not in found["text"]
                assert "Traceback" not in found["text"]
            elif found["outcome"] != "end":
                bad.append(f"{path.name} (seed {number}): {found}")
            if found.get("mb", 0) > MOST_MB:
                bad.append(f"{path.name} (seed {number}): {found['mb']} MB")
                reader.close()  # a high-water mark stays for the life of a process
            path.unlink()
    finally:
        reader.close()
    assert not bad, "\n".join(bad[:20])
    assert outcomes["end"] > count // 10
    assert outcomes["refused"] > count // 10, "the wounds are too small to mean anything"
    print(f"{count} damaged recordings: {dict(outcomes)}, {dict(codes)}")  # noqa: T201
