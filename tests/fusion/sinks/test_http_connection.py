"""A kept connection against a real server on loopback, with and without a proxy."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from http_receiver import Receiver, receiving
from tls import needs_openssl, self_signed

from egomon.errors import ConfigError, UsageError
from egomon.fusion.sinks.http_connection import KEEP_SECONDS, MAX_ANSWER_BYTES, KeptConnection

BASIC = "Basic bWU6aMO8bnRlcjI="


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with receiving() as server:
        yield server


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def connection(address: str, clock: Clock | None = None) -> KeptConnection:
    return KeptConnection(
        address, {"X-Own": "1"}, timeout_seconds=4.0, shown="http://h", clock=clock or Clock()
    )


def test_requests_share_a_connection_until_it_was_idle_for_five_seconds(
    receiver: Receiver,
) -> None:
    clock = Clock()
    kept = connection(f"{receiver.url}/hook", clock)
    receiver.answers, receiver.body = [200, 500, 200], b"thank you"
    assert [kept.post(b"a", {}), kept.post(b"b", {"X-Mac": "2"})] == [200, 500]
    assert receiver.connections == 1
    clock.seconds += KEEP_SECONDS + 0.1
    assert kept.post(b"c", {}) == 200
    assert receiver.connections == 2
    assert [(body, h["X-Own"], h.get("X-Mac")) for _, h, body in receiver.got] == [
        (b"a", "1", None),
        (b"b", "1", "2"),
        (b"c", "1", None),
    ]
    kept.close()
    kept.close()


def test_a_server_that_hangs_up_unasked_gets_the_next_request_by_a_new_connection(
    receiver: Receiver,
) -> None:
    receiver.hangs_up = True
    kept = connection(receiver.url)
    assert [kept.post(bytes([i]), {}) for i in range(3)] == [204] * 3
    assert [body for _, _, body in receiver.got] == [b"\0", b"\1", b"\2"]
    assert receiver.connections == 3
    kept.close()


def test_a_server_that_is_gone_is_an_error_also_on_a_kept_connection(receiver: Receiver) -> None:
    receiver.hangs_up = True
    kept = connection(receiver.url)
    kept.post(b"", {})
    receiver.shutdown()
    receiver.server_close()
    for _ in range(2):
        with pytest.raises(OSError, match="refused"):
            kept.post(b"", {})


def test_an_answer_that_is_too_long_is_not_read_to_its_end(receiver: Receiver) -> None:
    receiver.answers, receiver.body = [200, 200], b"x" * (8 * MAX_ANSWER_BYTES)
    kept = connection(receiver.url)
    assert [kept.post(b"", {}), kept.post(b"", {})] == [200, 200]
    assert receiver.connections == 2
    kept.close()


def drip(server: socket.socket, first: bytes, again: bytes) -> None:
    """Answer one request with something that has no end."""
    client, _ = server.accept()
    with client:
        client.recv(1 << 16)
        client.settimeout(0.02)
        client.sendall(first)
        with suppress(OSError):
            while True:
                client.sendall(again)
                with suppress(TimeoutError):
                    client.recv(1)


@pytest.mark.parametrize(
    ("first", "again", "told"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x", "200"),
        (b"HTTP/1.1 200 OK\r\nX-Own: ", b"x", "its answer does not end"),
        (b"HTTP/1.1 200 O", b"K", "its answer does not end"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "its answer does not end"),
    ],
)
def test_an_answer_that_has_no_end_is_not_waited_for(first: bytes, again: bytes, told: str) -> None:
    clock = Clock()

    def later() -> float:
        clock.seconds += 0.5
        return clock.seconds

    found: list[str] = []

    def post(kept: KeptConnection) -> None:
        try:
            found.append(str(kept.post(b"", {})))
        except OSError as error:
            found.append(str(error))

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server, first, again), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        kept = KeptConnection(url, {}, timeout_seconds=4.0, shown=url, clock=later)
        thread = threading.Thread(target=post, args=(kept,), daemon=True)
        thread.start()
        thread.join(10)
    assert found == [told]


def test_an_answer_that_is_no_http_is_an_error(receiver: Receiver) -> None:
    receiver.answers = [1000000]
    kept = connection(receiver.url)
    with pytest.raises(HTTPException):
        kept.post(b"", {})
    assert kept.post(b"", {}) == 204
    kept.close()


def test_user_and_password_are_sent_as_basic_and_odd_letters_of_the_path_are_encoded(
    receiver: Receiver,
) -> None:
    kept = connection(receiver.url.replace("://", "://me:h%C3%BCnter2@") + "/tür%20b?a=ü&b=%2F")
    kept.post(b"", {})
    kept.close()
    ((path, headers, _),) = receiver.got
    assert path == "/t%C3%BCr%20b?a=%C3%BC&b=%2F"
    assert headers["Authorization"] == BASIC
    assert headers["Host"] == receiver.url.removeprefix("http://")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_gets_the_whole_address_unless_no_proxy_names_the_host(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    proxy = receiver.url.replace("://", "://me:h%C3%BCnter2@")
    monkeypatch.setenv(variable, proxy.removeprefix("http://") if variable[0] == "A" else proxy)
    kept = connection("http://me:hunter2@far.example:8080/hook?a=1")
    assert kept.post(b"", {}) == 204
    kept.close()
    ((path, headers, _),) = receiver.got
    assert path == "http://far.example:8080/hook?a=1"
    assert headers["Host"] == "far.example:8080"
    assert headers["Proxy-Authorization"] == BASIC

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    near = connection(receiver.url)
    near.post(b"", {})
    near.close()
    path, headers, _ = receiver.got[1]
    assert path == "/"
    assert "Proxy-Authorization" not in headers


@pytest.mark.parametrize(
    ("host", "written"),
    [("h\u00fcte.example:8080", "xn--hte-hoa.example:8080"), ("[::2]", "[::2]")],
)
def test_a_proxy_gets_the_host_as_dns_writes_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, host: str, written: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", receiver.url)
    kept = connection(f"http://{host}/hook")
    kept.post(b"", {})
    kept.close()
    ((path, headers, _),) = receiver.got
    assert (path, headers["Host"]) == (f"http://{written}/hook", written)


@needs_openssl
@pytest.mark.parametrize("is_trusted", [True, False])
def test_https_goes_through_a_tunnel_and_its_certificate_is_checked(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_trusted: bool
) -> None:
    certificate, key = self_signed(tmp_path)
    receiver.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    receiver.tls.load_cert_chain(certificate, key)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("HTTPS_PROXY", receiver.url.replace("://", "://me:h%C3%BCnter2@"))
    kept = connection("https://127.0.0.1/hook")
    if is_trusted:
        assert [kept.post(b"a", {}), kept.post(b"b", {})] == [204, 204]
        assert receiver.connections == 1
        receiver.hangs_up = True
        assert [kept.post(b"c", {}), kept.post(b"d", {})] == [204, 204]
    else:
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            kept.post(b"a", {})
    kept.close()
    tunnels = [(path, headers) for path, headers, _ in receiver.got if path != "/hook"]
    assert {path for path, _ in tunnels} == {"127.0.0.1:443"}
    assert {headers["Proxy-Authorization"] for _, headers in tunnels} == {BASIC}
    posts = [(headers, body) for path, headers, body in receiver.got if path == "/hook"]
    assert b"".join(body for _, body in posts) == b"abcd" * is_trusted
    assert not any("Proxy-Authorization" in headers for headers, _ in posts)


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "ü" * 70])
def test_a_name_that_no_host_can_have_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match=r"^http://h is no address: ") as caught:
        connection(f"http://{host}/")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    ["socks5://me:hunter2@h:1", "http://", "http://h:x", "https://h", "http://me:hunter2/@h:1"],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigError, match="the proxy of HTTPS_PROXY or ALL_PROXY") as caught:
        connection("https://far.example/")
    assert "hunter2" not in str(caught.value)
