from __future__ import annotations

import io
import itertools
import re
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import av.error
import numpy as np
import pytest
from fakes import RecordingListener
from videos import SHARED, pictures, rotate_mp4, write_audio, write_video

from egomon.errors import SourceLostError, SourceOpenError
from egomon.stream.source import Discontinuity
from egomon.stream.sources import file
from egomon.stream.sources.decoding import decode
from egomon.stream.sources.decoding.decode import VideoDecoder
from egomon.stream.sources.open import open_source
from egomon.stream.sources.synthetic import read_index
from egomon.testing import check_source


def read_all(path: Path) -> tuple[list[float], list[int], list[int], RecordingListener]:
    """Times, numbers drawn in the pictures, epochs, and what was reported."""
    listener = RecordingListener()
    times, numbers, epochs = [], [], []
    with open_source(str(path), listener=listener) as source:
        for grab in iter(source.read, None):
            times.append(grab.t_seconds)
            numbers.append(read_index(grab.to_rgb()))
            epochs.append(grab.epoch)
    return times, numbers, epochs, listener


def open_error(reference: object) -> SourceOpenError:
    with pytest.raises(SourceOpenError) as caught:
        open_source(str(reference))
    return caught.value


@pytest.fixture(params=[0, 1 << 40], ids=["frame threads", "one thread"])
def decoded_either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test with each way of decoding, whatever the size of its pictures."""
    monkeypatch.setattr(file, "FRAME_THREADS_PIXELS", request.param)


@pytest.mark.parametrize(("size", "threads"), [((448, 448), "SLICE"), ((640, 480), "AUTO")])
def test_only_large_pictures_are_worth_frame_threads(
    tmp_path: Path, size: tuple[int, int], threads: str
) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(3, *size))
    with file.VideoFile(str(path), name="a") as source:
        assert source._stream.thread_type.name == threads


def test_a_file_keeps_the_contract(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(30))
    seen = check_source(lambda: open_source(str(path)), frames=30)
    assert [index for _, _, index in seen] == list(range(30))


@pytest.mark.usefixtures("decoded_either_way")
def test_every_frame_comes_once_in_order_with_b_frames_and_pts_offset(tmp_path: Path) -> None:
    pts = [90_000 + 1000 * i for i in range(40)]
    path = write_video(tmp_path / "b.mkv", pictures(40), pts=pts, options={"bf": "3"})
    times, numbers, _, listener = read_all(path)
    assert numbers == list(range(40))
    assert times == pytest.approx([i / 30 for i in range(40)], abs=1e-3)
    assert listener.gaps == []
    assert [change.state for change in listener.states] == ["online", "ended"]


def test_variable_rate_keeps_the_times_of_the_file(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).integers(300, 4000, size=39)
    pts = [0, *np.cumsum(steps).tolist()]
    path = write_video(tmp_path / "v.mp4", pictures(40), pts=pts)
    times, numbers, epochs, _ = read_all(path)
    assert times == pytest.approx([p / 30000 for p in pts], abs=1e-4)
    assert numbers == list(range(40))
    assert set(epochs) == {0}


def test_ntsc_rate_drifts_by_less_than_a_microsecond(tmp_path: Path) -> None:
    pts = [i * 1001 + 107_892_000 * (i > 0) for i in range(30)]  # an hour after the first frame
    pts[0] = 107_892_000
    path = write_video(tmp_path / "n.mp4", pictures(30), pts=pts, rate=Fraction(30000, 1001))
    times, *_ = read_all(path)
    assert times == pytest.approx([i * 1001 / 30000 for i in range(30)], abs=1e-6)


def test_a_phone_video_comes_upright(tmp_path: Path) -> None:
    images = pictures(3)
    path = write_video(tmp_path / "r.mp4", images)
    rotate_mp4(path)
    with open_source(str(path)) as source:
        assert (source.info.width, source.info.height) == (240, 320)
        grab = source.read()
        assert grab is not None
        picture = grab.to_rgb()
    # Clockwise: what was the top row is now the right column.
    expected = np.rot90(images[0], -1)
    assert picture.shape == expected.shape
    assert np.abs(picture.astype(int) - expected).mean() < 12
    assert picture.flags.c_contiguous


def test_odd_sizes_keep_their_size(tmp_path: Path) -> None:
    path = write_video(tmp_path / "o.mkv", pictures(3, 321, 241))
    with open_source(str(path)) as source:
        grab = source.read()
        assert grab is not None
        assert grab.to_rgb().shape == (241, 321, 3)


def test_pictures_are_rgb_not_bgr(tmp_path: Path) -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 220
    path = write_video(tmp_path / "red.mp4", [red] * 3)
    with open_source(str(path)) as source:
        grab = source.read()
        assert grab is not None
        mean = grab.to_rgb().reshape(-1, 3).mean(axis=0)
    assert mean[0] > 180
    assert mean[2] < 60


def test_a_jump_in_time_begins_a_new_epoch_and_is_reported(tmp_path: Path) -> None:
    pts = [i * 1000 + (150_000 if i >= 10 else 0) for i in range(20)]
    path = write_video(tmp_path / "j.mkv", pictures(20), pts=pts)
    times, numbers, epochs, listener = read_all(path)
    assert epochs == [0] * 10 + [1] * 10
    assert numbers == list(range(20))
    assert times[10] - times[9] == pytest.approx(5 + 1 / 30, abs=2e-3)
    (gap,) = listener.gaps
    assert (gap.cause, gap.count) == ("pts_jump", 0)
    assert (gap.from_seconds, gap.to_seconds) == (times[9], times[10])


def test_joined_recordings_whose_clock_starts_anew_lose_no_frame(tmp_path: Path) -> None:
    parts = []
    for name in ("1.ts", "2.ts"):
        offset = 3_000_000 if name == "1.ts" else 0
        pts = [offset + i * 1000 for i in range(20)]
        part = write_video(
            tmp_path / name, pictures(20), pts=pts, container="mpegts", options={"bf": "0"}
        )
        parts.append(part.read_bytes())
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    times, numbers, epochs, listener = read_all(path)
    assert numbers == [*range(20), *range(20)]
    assert epochs == [0] * 20 + [1] * 20
    assert all(a < b for a, b in itertools.pairwise(times))
    assert times[-1] < 3
    assert [gap.cause for gap in listener.gaps] == ["pts_jump"]


@pytest.mark.usefixtures("decoded_either_way")
def test_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "d.avi", pictures(60), codec="mjpeg", rate=30, time_base=Fraction(1, 30), step=1
    )
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data) - 1) if data[i : i + 2] == b"\xff\xd8"]
    for number in (20, 21, 40):
        begin, end = starts[number], starts[number + 1]
        data[begin : end - 16] = bytes(end - 16 - begin)
    path.write_bytes(data)
    times, numbers, _, listener = read_all(path)
    assert numbers == [i for i in range(60) if i not in (20, 21, 40)]
    assert sum(gap.count for gap in listener.gaps if gap.cause == "decode_error") == 3
    assert listener.states[-1].state == "ended"
    assert times == sorted(times)


def damaged(path: Path, numbers: range) -> None:
    """Zero these pictures of a 90-frame MJPEG file."""
    write_video(path, pictures(90), codec="mjpeg", rate=30, time_base=Fraction(1, 30), step=1)
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data) - 1) if data[i : i + 2] == b"\xff\xd8"]
    for number in numbers:
        begin, end = starts[number], (*starts, len(data))[number + 1]
        data[begin : end - 16] = bytes(end - 16 - begin)
    path.write_bytes(data)


@pytest.mark.usefixtures("decoded_either_way")
def test_a_recording_goes_on_behind_a_long_damage(tmp_path: Path) -> None:
    path = tmp_path / "d.avi"
    damaged(path, range(20, 70))
    times, numbers, _, listener = read_all(path)
    assert numbers == [*range(20), *range(70, 90)]
    assert times[20] - times[19] == pytest.approx(51 / 30)
    assert listener.states[-1].code is None
    assert [(g.cause, g.count) for g in listener.gaps] == [("decode_error", 50)]


@pytest.mark.usefixtures("decoded_either_way")
def test_a_recording_that_never_recovers_ends_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "d.avi"
    damaged(path, range(20, 90))
    _, numbers, _, listener = read_all(path)
    assert numbers == list(range(20))
    assert (listener.states[-1].state, listener.states[-1].code) == ("ended", "STREAM_DAMAGED")
    assert sum(gap.count for gap in listener.gaps) == 70


@pytest.mark.usefixtures("decoded_either_way")
def test_a_damage_without_end_is_not_read_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "MOST_DAMAGED_OF_FILE", 40)
    path = tmp_path / "d.avi"
    damaged(path, range(20, 70))
    _, numbers, _, listener = read_all(path)
    assert numbers == list(range(20))
    assert listener.states[-1].code == "STREAM_DAMAGED"


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        ("4/3", (320, 180)),
        ("1/2", (160, 240)),
        ("1/1", (320, 240)),
        ("100/1", (320, 240)),
    ],
)
def test_anamorphic_pictures_get_square_pixels(
    tmp_path: Path, aspect: str, size: tuple[int, int]
) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(5), aspect=Fraction(aspect))
    with open_source(str(path)) as source:
        grab = source.read()
        assert grab is not None
        rgb = grab.to_rgb()
        assert (source.info.width, source.info.height) == size
        assert rgb.shape == (size[1], size[0], 3)


@pytest.mark.parametrize("live", [False, True])
def test_what_comes_before_the_first_key_frame_is_no_damage(tmp_path: Path, live: bool) -> None:
    # 5 frames/s: FFmpeg ends its analysis of 5 s before the next key frame comes, at 10 s.
    options = {"g": "50", "sc_threshold": "0"}
    path = write_video(tmp_path / "whole.ts", pictures(90), rate=5, step=6000, options=options)
    data = path.read_bytes()
    # Packets of a transport stream have 188 bytes; without the first, the first key frame is gone.
    path.write_bytes(data[188 * 40 :])
    with av.open(path) as container:
        reader = VideoDecoder(container, container.streams.video[0], "cut", live=live)
        frames = list(iter(reader.next, None))
    assert len(frames) == 40
    assert reader.errors == 0


@pytest.mark.usefixtures("decoded_either_way")
def test_a_truncated_file_gives_what_it_holds(tmp_path: Path) -> None:
    path = write_video(tmp_path / "t.mkv", pictures(60), options={"g": "10"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    times, numbers, _, listener = read_all(path)
    assert 20 < len(times) < 60
    assert numbers[:20] == list(range(20))
    assert listener.states[-1].state == "ended"


def test_audio_as_first_stream_does_not_confuse_but_audio_alone_is_refused(
    tmp_path: Path,
) -> None:
    error = open_error(write_audio(tmp_path / "a.mp4"))
    assert error.code == "STREAM_NO_VIDEO"
    assert "no video, only audio" in str(error)


def test_what_is_no_video_is_refused_in_one_sentence(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 50)
    headless = write_video(tmp_path / "h.mp4", pictures(20))
    headless.write_bytes(headless.read_bytes()[:2000])
    expected = {
        tmp_path: ("STREAM_NOT_FOUND", "folder"),
        tmp_path / "missing.mp4": ("STREAM_NOT_FOUND", "not found"),
        empty: ("STREAM_DAMAGED", "empty"),
        text: ("STREAM_DAMAGED", "no video"),
        headless: ("STREAM_DAMAGED", "no video"),
        "/proc/self/fd": ("STREAM_NOT_FOUND", "folder"),
        "/dev/../dev/null": ("DEVICE_", "null"),
        "bad\0name": ("STREAM_NOT_FOUND", "not found"),
    }
    for reference, (code, word) in expected.items():
        if str(reference).startswith("/dev/"):
            continue
        error = open_error(reference)
        assert error.code == code, reference
        assert "file:" not in str(error), reference
        assert word in str(error), reference
        assert error.exit_code == 3


def test_pixels_are_converted_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from egomon.stream.sources.decoding.decode import Converter

    converted: list[int] = []
    original = Converter._convert
    monkeypatch.setattr(
        Converter,
        "_convert",
        lambda self, *given: (converted.append(1), original(self, *given))[1],
    )
    path = write_video(tmp_path / "a.mp4", pictures(12))
    with open_source(str(path)) as source:
        grabs = [grab.index for grab in iter(source.read, None)]
    assert len(grabs) == 12
    assert converted == []


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared videos are not on this machine")
@pytest.mark.parametrize(
    ("name", "frames", "last", "gaps"),
    [
        ("bike_repair.mp4", 900, 899 / 30, []),
        ("cooking.mp4", 900, 899 / 30, []),
        ("assembly.mp4", 224, 223 / 15, []),
        ("cup.mp4", 217, 216 / 26.777, []),
        # Decoding times stored as presentation times: put in order, no frame lost.
        ("box.mp4", 455, 15.151, [("out_of_order", 0)]),
        ("damaged.avi", 270, 269 / 30, [("out_of_order", 0)]),
    ],
)
def test_real_videos_give_every_frame(
    name: str, frames: int, last: float, gaps: list[tuple[str, int]]
) -> None:
    listener = RecordingListener()
    with open_source(str(SHARED / name), listener=listener) as source:
        grabs = [(grab.t_seconds, grab.epoch) for grab in iter(source.read, None)]
        period = 1 / (source.info.fps or 30)
    times = [t for t, _ in grabs]
    steps = np.diff(times)
    assert len(times) == frames
    assert times[0] == 0
    assert times[-1] == pytest.approx(last, abs=1e-3)
    assert steps.min() > 0.9 * period
    assert steps.max() < 1.1 * period
    assert {epoch for _, epoch in grabs} == {0}
    assert [(gap.cause, gap.count) for gap in listener.gaps] == gaps
    assert ("STREAM_RETIMED" in {change.code for change in listener.states}) == bool(gaps)


def test_a_frame_that_does_not_advance_is_dropped_and_counted() -> None:
    from egomon.stream.media_clock import MediaClock

    listener = RecordingListener()
    clock = MediaClock(listener, live=True, fps=10)
    stamps = [clock.stamp(pts, 0.0) for pts in (5.0, 5.1, 5.1, 5.05, 5.2, None, 5.25)]
    clock.finish()
    kept = [(round(s.t_seconds, 6), s.index) for s in stamps if s is not None]
    assert kept == [(0.0, 0), (0.1, 1), (0.2, 4), (0.3, 5)]
    assert [(gap.cause, gap.count) for gap in listener.gaps] == [
        ("out_of_order", 2),
        ("out_of_order", 1),
    ]
    assert isinstance(listener.gaps[0], Discontinuity)


def test_ffmpegs_log_callback_stays_off() -> None:
    # With any level set it takes the GIL in FFmpeg's threads: closing a file then hangs for ever.
    import av.logging

    import egomon.stream.sources.decoding.decode

    assert egomon.stream.sources.decoding.decode.MOST_ERRORS_IN_A_ROW == 30
    assert av.logging.get_level() is None


def test_a_log_level_that_another_library_sets_is_taken_back(tmp_path: Path) -> None:
    import av.logging

    path = write_video(tmp_path / "a.mp4", pictures(3))
    av.logging.set_level(av.logging.ERROR)  # as torchvision 0.22 does when it is imported
    source = open_source(str(path))
    assert av.logging.get_level() is None
    av.logging.set_level(av.logging.ERROR)
    source.close()
    assert av.logging.get_level() is None


def read_with_times(
    path: Path, times: list[float], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[float], list[int], list[int], RecordingListener]:
    """Read a file as if its container held these times."""
    left = iter(times)
    monkeypatch.setattr(VideoDecoder, "seconds", lambda reader, frame: next(left))
    return read_all(path)


def test_decoding_times_stored_as_presentation_times_are_put_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(20))
    mixed = [4 * group + place for group in range(5) for place in (0, 3, 1, 2)]
    times, numbers, epochs, listener = read_with_times(
        path, [place / 10 for place in mixed], monkeypatch
    )
    assert times == pytest.approx([i / 10 for i in range(20)])
    assert numbers == list(range(20))
    assert set(epochs) == {0}
    assert [(gap.cause, gap.count) for gap in listener.gaps] == [("out_of_order", 0)]
    assert [change.code for change in listener.states] == [None, "STREAM_RETIMED", None]


def test_a_clock_that_starts_anew_is_not_mixed_with_the_part_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(20))
    own = [50 + i / 30 for i in range(10)] + [i / 30 for i in range(10)]
    times, numbers, epochs, listener = read_with_times(path, own, monkeypatch)
    assert epochs == [0] * 10 + [1] * 10
    assert numbers == list(range(20))
    assert times == pytest.approx([i / 30 for i in range(20)])
    assert [(gap.cause, gap.count) for gap in listener.gaps] == [("pts_jump", 0)]


def test_a_missing_time_goes_on_at_the_nominal_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(4))
    own: list[float | None] = [None, None, 2 / 30, None]
    times, *_ = read_with_times(path, own, monkeypatch)  # type: ignore[arg-type]
    assert times == pytest.approx([i / 30 for i in range(4)])


def test_a_time_out_of_ffmpeg_is_a_lost_source_not_damage() -> None:
    class Silent:
        format = codec_context = SimpleNamespace(name="h264")

        def demux(self, stream: object) -> object:
            raise av.error.ExitError(0, "Immediate exit requested")
            yield

    reader = VideoDecoder(Silent(), Silent, "rtsp://cam")
    with pytest.raises(SourceLostError) as caught:
        reader.next()
    assert caught.value.code == "STREAM_TIMEOUT"
    assert reader.errors == 0


def write_two_streams(path: Path, sizes: list[tuple[int, int]], codecs: list[str]) -> None:
    """One video with several pictures of the same moments, as cameras keep previews."""
    with av.open(str(path), "w") as out:
        streams: list[Any] = []
        for (width, height), codec in zip(sizes, codecs, strict=True):
            stream: Any = out.add_stream(codec, rate=30)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            streams.append(stream)
        for number in range(6):
            for stream in streams:
                image = pictures(6, stream.width, stream.height)[number]
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 30)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize(
    ("sizes", "codecs"),
    [
        ([(64, 64), (320, 240)], ["mjpeg", "libx264"]),
        ([(320, 240), (64, 64)], ["libx264", "mjpeg"]),
        ([(64, 48), (128, 96), (320, 240)], ["libx264"] * 3),
    ],
)
def test_the_largest_video_stream_is_watched(
    tmp_path: Path, suffix: str, sizes: list[tuple[int, int]], codecs: list[str]
) -> None:
    path = tmp_path / f"two.{suffix}"
    write_two_streams(path, sizes, codecs)
    with open_source(str(path)) as source:
        assert (source.info.width, source.info.height) == (320, 240)
        grabs = list(iter(source.read, None))
    assert [read_index(grab.to_rgb()) for grab in grabs] == list(range(6))


@pytest.mark.parametrize("live", [True, False])
def test_a_picture_that_came_in_pieces_of_one_time_is_whole(tmp_path: Path, live: bool) -> None:
    path = tmp_path / "pieces.mkv"
    pieces = write_in_pieces(path, 15)
    with av.open(str(path)) as container:
        decoder = VideoDecoder(container, container.streams.video[0], "cam", live=live)
        seen = list(iter(decoder.next, None))
        assert decoder.packets == pieces
    images = [frame.reformat(format="rgb24").to_ndarray() for frame in seen]
    shown = {frame.pts: image for frame, image in zip(seen, images, strict=True)}
    difference = [
        np.abs(image.astype(int) - whole).mean()
        for image, whole in zip(shown.values(), pictures(15), strict=True)
    ]
    if live:  # the first packets tell that key frames have pieces; of the others the second tells
        assert len(seen) <= 15 + 3
        del difference[1:5]  # up to the next key frame
    else:
        assert len(seen) == 15
    assert max(difference) < 3


def write_in_pieces(path: Path, count: int) -> int:
    """A film whose packets hold a slice of a picture each, as some cameras send them."""
    options = {"tune": "zerolatency", "g": "5", "bf": "0", "x264-params": "slices=4"}
    body = io.BytesIO()
    write_video(body, pictures(count), container="h264", options=options)
    pieces = pieces_of(body.getvalue())
    assert len(pieces) >= 2 * count
    body.seek(0)
    with av.open(body, format="h264") as whole, av.open(str(path), "w", format="matroska") as out:
        stream: Any = out.add_stream_from_template(whole.streams.video[0])
        for number, is_key, data in pieces:
            packet: Any = av.Packet(data)
            packet.time_base = Fraction(1, 30)
            packet.pts = packet.dts = number
            packet.is_keyframe, packet.stream = is_key, stream
            out.mux(packet)
    return len(pieces)


def pieces_of(data: bytes) -> list[tuple[int, bool, bytes]]:
    """Each slice of an H.264 stream with the number of its picture, and whether it is a key."""
    found: list[tuple[int, bool, bytes]] = []
    number, before = -1, b""
    for unit in re.split(rb"\x00*\x00\x00\x01", data)[1:]:
        kind = unit[0] & 0x1F
        if kind not in (1, 5):
            before += b"\x00\x00\x00\x01" + unit
            continue
        number += unit[1] >> 7  # first_mb_in_slice is 0: another picture begins
        found.append((number, kind == 5, before + b"\x00\x00\x00\x01" + unit))
        before = b""
    return found
