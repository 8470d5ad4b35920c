from __future__ import annotations

import io
import logging
import socket
import traceback

import pytest

from egomon.errors import EgomonError
from egomon.stream.redact import RedactFilter, redact
from egomon.stream.sources.open import open_source

PASSWORD = "hunter" + str(2)  # put together: tracebacks show the source line


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://me:{}@10.0.0.5/live",
        "rtsp://me:a@{}@10.0.0.5/live",
        "rtsp://me:a/{}@10.0.0.5/live",
        "rtsp://{}@10.0.0.5/live",
        "failed: 'http://me:{}@cam:80/x?fps=5' (Errno 5)",
        "http://cam/x?fps=5&password={}&size=1",
        "http://cam/x?pwd={}",
        "http://cam/x?pw={}",
        "http://cam/x?fps=5&p={}",
        "http://cam/x?anything={}",
        "http://cam/x?access_token={}#t",
        "http://cam/x#token={}",
        "http://cam/x?X-Amz-Signature={}",
        "http://cam/x?usr=me&auth={};y=1",
        "rtsp://cam/user=me_password={}_channel=1_stream=0.sdp",
        "srt://host:9000?passphrase={}&latency=20",
        "one rtsp://a:{}@b/c and two rtsp://d:{}@e/f",
    ],
)
def test_no_secret_survives(text: str) -> None:
    shown = redact(text.format(PASSWORD, PASSWORD))
    assert PASSWORD not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "key",
    [
        "a1b2c3d4e5f6a7b8c9d0e1f2",
        "123e4567-e89b-12d3-a456-426614174000",
        "AKey_1234567890abcdefghij",
    ],
)
def test_a_key_in_a_path_is_hidden(key: str) -> None:
    for text in (
        "https://host/live/{}/index.m3u8?fps=5",
        "rtsp://host:8554/{}",
        "see 'rtmp://h/{}'",
    ):
        shown = redact(text.format(key))
        assert key not in shown
        assert shown.startswith(text[:5])


@pytest.mark.parametrize(
    "text",
    [
        "https://host/videos/2026-01-05/My_holiday_in_the_mountains.mp4",
        "http://192.168.1.20/axis-cgi/mjpg/video.cgi?resolution=640x480&fps=10",
        "rtsp://cam/cam/realmonitor?channel=1&subtype=0",
        "is it a? b=c",
        "rtsp://10.0.0.5:554/live?fps=5",
        "http://host:8080/a@b.mp4",
        "me@example.org",
        "/data/videos/a.mp4",
        "zmq+tcp://127.0.0.1:5555",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_log_lines_and_tracebacks_are_redacted() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(RedactFilter())
    logger = logging.getLogger("test_redact")
    logger.propagate = False
    logger.addHandler(handler)
    url = f"rtsp://me:{PASSWORD}@cam/live"
    logger.warning("lost %s after %d s", url, 5)
    try:
        raise OSError(f"cannot open {url}")
    except OSError:
        logger.exception("failed")
    logger.removeHandler(handler)
    assert "lost rtsp://***@cam/live after 5 s" in out.getvalue()
    assert "OSError: cannot open rtsp://***@cam/live" in out.getvalue()
    assert PASSWORD not in out.getvalue()


def test_no_error_and_no_output_shows_a_password(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    caplog.set_level(logging.DEBUG)
    for scheme in ("rtsp", "http", "tcp", "rtmp", "srt", "ftp", "udp+x"):
        with pytest.raises(EgomonError) as caught:
            open_source(f"{scheme}://me:{PASSWORD}@127.0.0.1:{port}/x?token={PASSWORD}")
        assert PASSWORD not in "".join(traceback.format_exception(caught.value)), scheme
    captured = capfd.readouterr()
    assert PASSWORD not in captured.out + captured.err + caplog.text
