"""What a name means: a file that exists comes first."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from videos import mpegts_packets, pictures, write_video

from egomon.errors import SourceOpenError, UsageError
from egomon.stream.sources.open import is_live, kind_of, open_source
from egomon.stream.sources.reference import local_path, printable
from egomon.stream.sources.synthetic import read_index

NAMES = [
    "2026-01-05T10:30:15.mp4",
    "1",
    "0007",
    "rtsp:camera.mp4",
    "http:a.mp4",
    "pipe:0",
    "chaos:1:x",
    "concat:a|b.mp4",
    "a#b.mp4",
    "is it?.mp4",
    "100%.mp4",
    "%20.mp4",
    "My Video.mp4",
    "день 見る.mp4",
    "caf\udce9.mp4",  # Latin-1 on disk
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_video(tmp_path / "video.mkv", pictures(3), container="matroska")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frames(reference: str) -> int:
    with open_source(reference) as source:
        assert source.info.kind == "file"
        source.info.uri.encode()  # it is text, whatever the name's bytes
        return len(list(iter(source.read, None)))


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_file_that_exists_is_read_whatever_its_name_resembles(folder: Path, name: str) -> None:
    os.rename("video.mkv", name)
    assert not is_live(name)
    assert kind_of(name) == "file"
    assert frames(name) == 3
    assert frames(str(folder / name)) == 3


@pytest.mark.parametrize("form", ["file://{}", "file:{}", "file://localhost{}", "FILE://{}"])
@pytest.mark.parametrize("escaped", [True, False])
def test_file_addresses_are_paths_with_and_without_escapes(
    folder: Path, form: str, escaped: bool
) -> None:
    os.rename("video.mkv", "My 100% Video.mkv")
    path = str(folder / "My 100% Video.mkv")
    if escaped:
        path = path.replace("%", "%25").replace(" ", "%20")
    assert frames(form.format(path)) == 3


def test_escaped_bytes_of_a_file_address_need_not_be_utf_8(folder: Path) -> None:
    os.rename("video.mkv", os.fsdecode(b"caf\xe9.mkv"))
    assert frames(f"file://{folder}/caf%E9.mkv") == 3
    assert printable("caf\udce9.mkv") == r"caf\xe9.mkv"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="/dev/shm is Linux's")
def test_a_file_in_a_folder_of_dev_is_no_camera(folder: Path) -> None:
    path = Path(f"/dev/shm/egomon-test-{os.getpid()}.mkv")
    path.write_bytes((folder / "video.mkv").read_bytes())
    try:
        assert frames(str(path)) == 3
    finally:
        path.unlink()
    assert is_live(str(path))  # what is not there may be a device that is plugged in later


def test_what_is_not_there_is_told_with_its_name(folder: Path) -> None:
    for name in ("10:30:15.mp4", "caf\udce9.mp4", "file:///no/My%20Video.mp4"):
        with pytest.raises(SourceOpenError, match="not found") as caught:
            open_source(name)
        assert str(caught.value).isprintable()
    assert local_path("rtsp://camera/1") is None


@pytest.mark.parametrize("password", ["p#ss", "pa/ss", "why?", "a#b/c?d@e"])
def test_a_character_that_ends_an_address_is_told_to_be_escaped(password: str) -> None:
    with pytest.raises(UsageError, match="write # as %23") as caught:
        open_source(f"rtsp://admin:{password}@127.0.0.1:9/cam")
    assert password not in str(caught.value)


@pytest.mark.parametrize("scheme", ["srt", "rist"])
def test_what_ffmpeg_cannot_speak_is_refused_with_the_way_out(scheme: str) -> None:
    from egomon.stream.sources.decoding.container import open_container

    with pytest.raises(SourceOpenError, match="MediaMTX") as caught:
        open_container(f"{scheme}://127.0.0.1:9", options={})
    assert caught.value.code == "STREAM_CODEC_UNSUPPORTED"


def test_a_named_pipe_is_read_live_to_its_end(folder: Path) -> None:
    os.mkfifo("camera")
    data = b"".join(mpegts_packets(30))
    writer = threading.Thread(target=lambda: Path("camera").write_bytes(data))
    writer.start()
    assert is_live("camera")
    with open_source("camera") as source:
        assert source.info.kind == "live"
        grabs = list(iter(source.read, None))
    writer.join(10)
    assert [read_index(grab.to_rgb()) for grab in grabs] == list(range(30))


def test_closing_ends_a_wait_for_the_writer_of_a_pipe(folder: Path) -> None:
    os.mkfifo("camera")
    stop, errors = threading.Event(), []

    def run() -> None:
        try:
            open_source("camera", stop=stop)
        except SourceOpenError as error:
            errors.append(error.code)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    stop.set()
    thread.join(10)
    assert errors == ["STREAM_TIMEOUT"]


READ = """
import sys
from egomon.stream.sources.open import open_source
with open_source(sys.argv[1], kind=sys.argv[2] or None) as source:
    print(source.info.kind, len(list(iter(source.read, None))))
"""


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize(("kind", "told"), [("", "live"), ("file", "file")])
def test_the_standard_input_is_read(name: str, kind: str, told: str) -> None:
    data = b"".join(mpegts_packets(30))
    command = [sys.executable, "-c", READ, name, kind]
    done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=60)
    assert done.stdout.split() == [told.encode(), b"30"]


def test_a_file_as_standard_input_is_a_file(folder: Path) -> None:
    with open("video.mkv", "rb") as file:
        command = [sys.executable, "-c", READ, "-", ""]
        done = subprocess.run(command, stdin=file, capture_output=True, check=True, timeout=60)
    assert done.stdout.split() == [b"file", b"3"]
