"""Packets as they were sent: kept within bounds, cut at key frames, shown without loss."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes import FakeClock
from rtsp_server import RtspServer
from videos import mpegts_packets, pictures, rotate_mp4, write_video

from egomon.errors import StoreError
from egomon.fusion.media.remux import write_packets
from egomon.stream.packet_ring import PacketClip, PacketRing
from egomon.stream.source_options import SourceOptions
from egomon.stream.sources.decoding.decode import VideoDecoder
from egomon.stream.sources.open import open_source


def film(folder: Path, frames: int = 120, **options: Any) -> Path:
    """30 frames a second, a key frame every 30 frames, times from 2 s on."""
    path = folder / "film.mp4"
    given = {"g": "30", "sc_threshold": "0", **options.pop("options", {})}
    pts = [60_000 + 1000 * i for i in range(frames)]
    write_video(path, pictures(frames), pts=pts, options=given, **options)
    return path


def read(reference: Path | str, ring: PacketRing, most: int = 10_000) -> list[float]:
    """Media seconds less own seconds of each frame."""
    with open_source(str(reference), options=SourceOptions(packets=ring)) as source:
        found = []
        while len(found) < most and (grab := source.read()) is not None:
            assert grab.pts_seconds is not None
            found.append(grab.pts_seconds - grab.t_seconds)
        return found


def decoded(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def cut(
    ring: PacketRing, start: float, latest_start: float, end: float, arrived_ns: int = 2**62
) -> PacketClip | None:
    return ring.cut(start, latest_start, end, arrived_ns=arrived_ns)


def shown(clip: PacketClip) -> int:
    return sum(packet.pts >= clip.start for packet in clip.packets)


def test_a_clip_holds_the_key_frame_before_and_shows_the_very_same_pictures_of_its_span(
    tmp_path: Path,
) -> None:
    path, ring = film(tmp_path, options={"bf": "2"}), PacketRing()
    offsets = read(path, ring)
    assert offsets == pytest.approx([2.0] * 120)
    clip = cut(ring, 2.0 + 1.5, 2.0 + 1.5, 2.0 + 2.5)
    assert clip is not None
    evidence = write_packets(tmp_path / "clip.mp4", clip)
    assert (evidence.width, evidence.height) == (320, 240)
    whole, found = decoded(path), decoded(tmp_path / "clip.mp4")
    # From the key frame at 1 s, which is not shown; pictures that the last ones need may follow.
    assert clip.packets[0].pts * clip.time_base == 2 + 1
    assert 31 <= len(found) <= 34
    for (at, picture), (was, same) in zip(found, whole[45:], strict=False):
        assert at == pytest.approx(was - whole[45][0], abs=1e-3)
        assert np.array_equal(picture, same)


def test_a_clip_of_an_rtsp_camera_decodes(tmp_path: Path) -> None:
    ring = PacketRing()
    with RtspServer() as server:
        offset = read(f"rtsp://127.0.0.1:{server.port}/video", ring, most=45)[0]
    clip = cut(ring, offset + 0.2, offset + 0.5, offset + 1.2)
    assert clip is not None
    write_packets(tmp_path / "clip.mp4", clip)
    assert len(decoded(tmp_path / "clip.mp4")) == shown(clip) > 25


def test_what_is_no_longer_there_cannot_be_cut(tmp_path: Path) -> None:
    path, ring = film(tmp_path), PacketRing(seconds=1.5)
    read(path, ring)
    assert cut(ring, 2.0, 2.5, 3.5) is None  # its key frame is gone
    late = cut(ring, 2.0, 5.0, 5.5)  # ... but may begin later, with the segment
    assert late is not None
    assert late.packets[0].pts * late.time_base == 5
    assert cut(PacketRing(), 0.0, 0.0, 1.0) is None


def test_frames_of_an_earlier_connection_find_no_packets_though_its_times_come_again(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    path, ring = film(tmp_path), PacketRing(clock_ns=clock.ns)
    read(path, ring)
    clock.now = 10.0
    read(path, ring)
    assert cut(ring, 3.0, 3.0, 4.0, arrived_ns=9_999_999_999) is None
    assert cut(ring, 3.0, 3.0, 4.0, arrived_ns=10_000_000_000) is not None


def test_a_film_whose_times_are_put_in_order_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, ring = film(tmp_path, frames=32), PacketRing()
    mixed = iter([(4 * group + place) / 10 for group in range(8) for place in (0, 3, 1, 2)])
    monkeypatch.setattr(VideoDecoder, "seconds", lambda reader, frame: next(mixed))
    read(path, ring)
    assert ring.nbytes == 0


def test_a_ring_holds_no_more_bytes_than_it_may(tmp_path: Path) -> None:
    path, ring = film(tmp_path), PacketRing(max_bytes=20_000)
    read(path, ring)
    assert 0 < ring.nbytes <= 20_000
    tiny = PacketRing(max_bytes=1)
    read(path, tiny)
    assert tiny.nbytes == 0


def test_a_new_connection_forgets_what_came_before(tmp_path: Path) -> None:
    path, ring = film(tmp_path, frames=60), PacketRing()
    read(path, ring)
    before = ring.nbytes
    read(path, ring)
    assert ring.nbytes == before
    read(path, ring, most=1)
    assert ring.nbytes < before


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4"])
def test_codecs_that_browsers_do_not_play_are_not_kept(tmp_path: Path, codec: str) -> None:
    path, ring = tmp_path / "film.mkv", PacketRing()
    write_video(path, pictures(10), codec=codec)
    read(path, ring)
    assert ring.nbytes == 0


def test_a_film_that_is_shown_turned_is_not_kept(tmp_path: Path) -> None:
    path, ring = film(tmp_path, frames=30), PacketRing()
    rotate_mp4(path)
    read(path, ring)
    assert ring.nbytes == 0


def test_streams_without_times_of_their_own_give_no_pts(tmp_path: Path) -> None:
    path, ring = tmp_path / "film.h264", PacketRing()
    write_video(path, pictures(30), container="h264", options={"bf": "0"})
    with open_source(str(path), options=SourceOptions(packets=ring)) as source:
        assert source.read() is not None
    assert cut(ring, 0.0, 0.0, 0.5) is None


def test_packets_that_mp4_does_not_take_are_one_error_and_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write"):
        write_packets(
            tmp_path / "clip.mp4", PacketClip(b"no video", Fraction(1, 30), (), 0, (320, 240))
        )
    assert list(tmp_path.iterdir()) == []


def test_an_mpeg_ts_stream_gives_clips_too(tmp_path: Path) -> None:
    path, ring = tmp_path / "film.ts", PacketRing()
    path.write_bytes(b"".join(mpegts_packets(60)))
    offset = read(path, ring)[0]
    clip = cut(ring, offset + 0.5, offset + 0.5, offset + 1.5)
    assert clip is not None
    write_packets(tmp_path / "clip.mp4", clip)
    assert len(decoded(tmp_path / "clip.mp4")) == shown(clip) == 31
