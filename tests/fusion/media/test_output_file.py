"""Clips on a disk that is slow, full, or takes writes in pieces."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import av
import pytest
from fakes import frame
from videos import pictures, write_video

from egomon.errors import StoreError
from egomon.fusion.media import output_file
from egomon.fusion.media.images import write_clip
from egomon.fusion.media.output_file import OutputFile
from egomon.fusion.media.remux import write_packets
from egomon.stream.packet_ring import PacketRing
from egomon.stream.source_options import SourceOptions
from egomon.stream.sources.open import open_source

SECONDS = 10.0

Write = Callable[[Path], object]


def from_pictures(path: Path) -> object:
    return write_clip(path, [frame(i / 10, value=10 * i, px=32) for i in range(20)])


def from_packets(path: Path) -> object:
    film, ring = path.with_suffix(".film.mp4"), PacketRing()
    write_video(film, pictures(30), options={"g": "10"})
    with open_source(str(film), options=SourceOptions(packets=ring)) as source:
        while source.read() is not None:
            pass
    film.unlink()
    clip = ring.cut(0.1, 0.1, 0.9, arrived_ns=2**62)
    assert clip is not None
    return write_packets(path, clip)


both = pytest.mark.parametrize("write", [from_pictures, from_packets])


@both
def test_other_threads_run_in_each_write_of_a_clip(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered, over = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    written: list[int] = []

    class Slow(OutputFile):
        def write(self, data: Any) -> int:
            asked.release()
            assert answered.acquire(timeout=SECONDS)  # only another thread gives this
            written.append(super().write(data))
            return written[-1]

    def other() -> None:
        while not over.is_set():
            if asked.acquire(timeout=0.05):
                answered.release()

    monkeypatch.setattr(output_file, "OutputFile", Slow)
    thread = threading.Thread(target=other)
    thread.start()
    try:
        write(tmp_path / "a.mp4")
    finally:
        over.set()
        thread.join()
    assert sum(written) >= (tmp_path / "a.mp4").stat().st_size > 0  # nothing goes another way


@both
@pytest.mark.parametrize("room", range(3), ids=["head", "pictures", "index"])
def test_a_disk_that_is_full_at_any_write_leaves_nothing(
    room: int, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(FileIO):
        writes = 0

        def write(self, data: Any) -> int:
            self.writes += 1
            if self.writes > room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    class OnFull(OutputFile, Full):
        pass

    write(tmp_path / "whole.mp4")
    monkeypatch.setattr(output_file, "OutputFile", OnFull)
    with pytest.raises(StoreError, match="No space left on device"):
        write(tmp_path / "a.mp4")
    assert [each.name for each in tmp_path.iterdir()] == ["whole.mp4"]


@both
def test_a_disk_that_takes_writes_in_pieces_gets_all_of_them(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "whole.mp4")

    class Pieces(FileIO):
        def write(self, data: Any) -> int:
            return super().write(memoryview(data)[:100])

    class InPieces(OutputFile, Pieces):
        pass

    monkeypatch.setattr(output_file, "OutputFile", InPieces)
    write(tmp_path / "pieces.mp4")
    assert (tmp_path / "pieces.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_clip_of_packets_has_its_index_in_front(tmp_path: Path) -> None:
    from_packets(tmp_path / "a.mp4")
    found = (tmp_path / "a.mp4").read_bytes()
    assert 0 < found.index(b"moov") < found.index(b"mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(list(container.decode(video=0))) > 20
