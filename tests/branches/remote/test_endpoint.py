"""The large branch on a server: requests, refusals, deadlines, comparison; HTTP on loopback."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from tls import needs_openssl, self_signed
from tools.vllm_stub import VllmStub

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.interfaces import Float32, RemoteLargeBranch
from egomon.branches.remote import branch as branch_module
from egomon.branches.remote.branch import EndpointBranch
from egomon.branches.remote.client import EmbeddingsClient, LargeEndpoint
from egomon.branches.remote.probe import (
    check_parity,
    decode_vector,
    encode_vector,
    probe_clip,
)
from egomon.branches.remote.request import embedding_request
from egomon.errors import BundleError, ConfigError, LargeEndpointError, UsageError
from egomon.stream.frame import Frame, Segment

CARD = LargeEncoderCard(weights="bundle", frames=4, frame_px=64, dim=6)
STUB = "http://stub/v1"


def colours(frames: Sequence[np.ndarray], times: Sequence[float]) -> list[float]:
    """A model whose vector depends on colour, order and time of the frames, 7 values long."""
    levels = [float(np.mean(frame[..., i % 3])) / 255 for i, frame in enumerate(frames)]
    return [*levels, sum(times), frames[-1][0, 0, 0] / 255, 1.0][:7]


OPEN: list[EmbeddingsClient] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def client(endpoint: LargeEndpoint, **options: Any) -> EmbeddingsClient:
    OPEN.append(EmbeddingsClient(endpoint, **options))
    return OPEN[-1]


class Sum:
    """g_l: the sum of the vector."""

    def logits(self, vectors: Float32) -> Float32:
        return np.stack([-vectors.sum(1), vectors.sum(1)], 1)


def expected(card: LargeEncoderCard = CARD) -> Float32:
    vector = np.array(colours(*probe_clip(card)), np.float32)[: card.dim]
    return vector / np.linalg.norm(vector)


@pytest.fixture
def stub() -> Iterator[VllmStub]:
    made = VllmStub(colours)
    yield made
    made.released.set()
    made.kill()


def branch(stub: VllmStub, **changes: Any) -> EndpointBranch:
    endpoint = LargeEndpoint(stub.url, **changes)
    made = client(endpoint, wait=lambda seconds: None)
    return EndpointBranch(CARD, Sum(), endpoint, expected(), client=made)


def segment(count: int = 4) -> Segment:
    pictures = [np.full((64, 64, 3), 40 * i, np.uint8) for i in range(count)]
    frames = tuple(Frame(p, None, 10 + i / 4, 0, 0, i, 0) for i, p in enumerate(pictures))
    return Segment(0, "cam", 10.0, 11.0, 0, 10 + np.arange(count) / 4, frames)


def test_a_score_is_the_head_on_the_server_s_vector_cut_and_of_length_1(stub: VllmStub) -> None:
    remote = branch(stub)
    assert isinstance(remote, RemoteLargeBranch)
    score = remote.score(segment())
    want = np.array(colours([f.image for f in segment().frames], [0, 0.25, 0.5, 0.75])[:6])
    np.testing.assert_allclose(score.feature, want / np.linalg.norm(want), atol=0.01)
    assert score.branch == "large"
    np.testing.assert_allclose(score.logits[1], score.feature.sum(), atol=1e-6)
    remote.close()


def test_the_request_says_all_that_the_processor_must_know() -> None:
    card = msgspec.structs.replace(CARD, instruction="Look")
    frames, _ = probe_clip(card)
    body = json.loads(embedding_request(card, "m", frames, [0.0, 0.12345, 0.25, -1.0]))
    url = body["messages"][1]["content"][0]["video_url"].pop("url")
    assert url.startswith("data:video/jpeg;base64,/9j/")
    assert url.count(",") == 4
    assert body == {
        "model": "m",
        "encoding_format": "float",
        "add_special_tokens": False,
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Look."}]},
            {"role": "user", "content": [{"type": "video_url", "video_url": {}}]},
        ],
        "media_io_kwargs": {
            "video": {
                "num_frames": -1,
                "fps": 1000.0,
                "frames_indices": [0, 123, 250, 0],
                "total_num_frames": 4,
            }
        },
        "mm_processor_kwargs": {
            "do_sample_frames": False,
            "cap_pixels_per_frame": False,
            "size": {"shortest_edge": 4 * 64 * 64, "longest_edge": 4 * 64 * 64},
        },
    }


def test_colours_survive_the_jpeg(stub: VllmStub) -> None:
    seen: list[Sequence[np.ndarray]] = []
    stub.embed = lambda frames, times: seen.append(frames) or colours(frames, times)
    branch(stub).connect()
    sent, _ = probe_clip(CARD)
    assert np.abs(np.stack(seen[0]).astype(int) - sent).mean() < 5.0  # 10 with halved colours


REFUSALS: list[tuple[int, str, str]] = [
    (401, '{"error":"Unauthorized"}', "refuses the key .*EGOMON_LARGE_API_KEY"),
    (
        404,
        '{"error":{"message":"The model `m` does not exist."}}',
        "serves no such model.*large.mo",
    ),
    (404, '{"detail":"Not Found"}', "no vLLM, or it serves no pooling model"),
    (413, "<html>", "no request of this size"),
    (
        400,
        '{"error":{"message":"longer than 2048"}}',
        r"refuses the request \(status 400\): longer",
    ),
    (429, "", "too many requests"),
    (500, '{"error":{"message":"CUDA out of memory"}}', "failed .*: CUDA out of memory; see its"),
    (503, "no json", r"failed \(status 503\); see its log"),
]


@pytest.mark.parametrize(("code", "body", "message"), REFUSALS)
def test_each_refusal_is_one_sentence(stub: VllmStub, code: int, body: str, message: str) -> None:
    stub.refusals = [(code, body, {})] * 2
    with pytest.raises(LargeEndpointError, match=message) as caught:
        branch(stub).connect()
    assert "\n" not in str(caught.value)


def test_a_server_without_the_flag_is_told_which(stub: VllmStub) -> None:
    stub.trusts = False
    with pytest.raises(LargeEndpointError, match="started without --trust-request-mm-kwargs"):
        branch(stub).connect()


def test_what_a_server_says_is_shown_as_text_without_keys(stub: VllmStub) -> None:
    words = "no \x1b[2J\nhttp://me:hunter2@host " + "x" * 1000
    stub.refusals = [(400, json.dumps({"error": {"message": words}}), {})]
    with pytest.raises(LargeEndpointError) as caught:
        branch(stub).connect()
    text = str(caught.value)
    assert text.isprintable()
    assert "hunter2" not in text
    assert len(text) < 500


def test_the_key_goes_into_the_header_and_nowhere_else(stub: VllmStub) -> None:
    stub.api_key = "sesame"
    branch(stub, api_key="sesame").connect()
    with pytest.raises(LargeEndpointError, match="refuses the key") as caught:
        branch(stub, api_key="wrong").connect()
    assert "wrong" not in str(caught.value) + repr(LargeEndpoint(STUB, api_key="wrong"))
    assert stub.keys[0] == "Bearer sesame"


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        (lambda f, t: colours(f, t)[::-1], r"cosine 0\.\d{4}, at least 0\.99 is needed"),
        (lambda f, t: [1.0, 2.0], "vectors of 2 values, but the bundle's heads take 6"),
        (lambda f, t: [0.0] * 7, "zero or not finite"),
        (lambda f, t: [0.0] * 6 + [1.0], "begins with zeros only"),
    ],
)
def test_another_model_is_refused_with_the_number(
    stub: VllmStub, embed: Callable[..., list[float]], message: str
) -> None:
    stub.embed = embed
    with pytest.raises(LargeEndpointError, match=message):
        branch(stub).connect()


@pytest.mark.parametrize("answer", ["[]", '{"data":[]}', '{"data":[{"embedding":"x"}]}', "<html>"])
def test_an_answer_of_no_vllm_is_told(answer: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=answer))
    made = client(LargeEndpoint(STUB), transport=transport)
    with pytest.raises(LargeEndpointError, match="does not answer as vLLM does"):
        made.embedding(b"{}", 1.0)
    with pytest.raises(LargeEndpointError, match=r"answer as vLLM|serves 0 models"):
        EndpointBranch(CARD, Sum(), LargeEndpoint(STUB), expected(), client=made).connect()


def test_an_endless_answer_is_cut_off() -> None:
    endless = httpx.MockTransport(
        lambda r: httpx.Response(200, content=(b"x" * 65536 for _ in iter(int, 1)))
    )
    made = client(LargeEndpoint(STUB), transport=endless)
    with pytest.raises(LargeEndpointError, match="does not answer as vLLM does"):
        made.embedding(b"{}", 1e9)


def test_of_several_models_one_must_be_named() -> None:
    models = httpx.Response(200, json={"data": [{"id": "a"}, {"id": "b"}]})
    transport = httpx.MockTransport(lambda request: models)
    made = client(LargeEndpoint(STUB), transport=transport)
    remote = EndpointBranch(CARD, Sum(), LargeEndpoint(STUB), expected(), client=made)
    with pytest.raises(LargeEndpointError, match=r"serves 2 models \(a, b\); name one"):
        remote.connect()


class Time:
    """A clock that waits move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def answering(*answers: int | Exception, retry_after: str = "") -> tuple[EmbeddingsClient, Time]:
    left, time = list(answers), Time()

    def handle(request: httpx.Request) -> httpx.Response:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        headers = {"Retry-After": retry_after} if retry_after else {}
        return httpx.Response(answer, json={"data": [{"embedding": [1.0]}]}, headers=headers)

    transport = httpx.MockTransport(handle)
    made = client(LargeEndpoint(STUB), clock=time, wait=time.wait, transport=transport)
    return made, time


def test_a_lost_connection_and_a_full_server_are_asked_once_more() -> None:
    for first in (httpx.RemoteProtocolError("gone"), 429, 503):
        made, time = answering(first, 200)
        assert made.embedding(b"{}", 3.0).tolist() == [1.0]
        assert time.waits == [0.1]
    made, _ = answering(503, 503)
    with pytest.raises(LargeEndpointError, match="status 503"):
        made.embedding(b"{}", 3.0)


def test_there_is_no_second_attempt_that_the_deadline_does_not_allow() -> None:
    for retry_after, seconds in (("", 0.25), ("5", 3.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 3.0)):
        made, time = answering(503, retry_after=retry_after)
        with pytest.raises(LargeEndpointError, match="status 503"):
            made.embedding(b"{}", seconds)
        assert time.waits == []
    made, time = answering(429, 200, retry_after="2")
    assert made.embedding(b"{}", 3.0).tolist() == [1.0]
    assert time.waits == [2.0]


def test_what_can_only_fail_again_is_not_repeated() -> None:
    for first in (400, 401, 413, 500):
        made, _ = answering(first)
        with pytest.raises(LargeEndpointError):
            made.embedding(b"{}", 3.0)


def test_a_call_ends_with_its_deadline(stub: VllmStub) -> None:
    stub.released.clear()
    made = client(LargeEndpoint(stub.url))
    with pytest.raises(LargeEndpointError, match="did not answer in time"):
        made.embedding(b"{}", 0.05)
    with pytest.raises(LargeEndpointError, match="did not answer in time"):
        made.embedding(b"{}", 0.0)


def test_connections_are_kept(stub: VllmStub) -> None:
    remote = branch(stub)
    for _ in range(5):
        remote.score(segment())
    assert (stub.connections, stub.embedded) == (1, 6)


def test_after_a_restart_the_model_is_compared_before_a_score_is_believed(
    stub: VllmStub,
) -> None:
    remote = branch(stub)
    remote.score(segment())
    stub.kill()
    with pytest.raises(LargeEndpointError, match=r"does not answer .*; start the server"):
        remote.score(segment())
    other = VllmStub(lambda f, t: colours(f, t)[::-1], port=stub.port)
    try:
        with pytest.raises(LargeEndpointError, match="cosine"):
            remote.score(segment())
        other.embed = colours
        assert remote.score(segment()).branch == "large"
    finally:
        other.kill()


def test_the_model_is_compared_once_a_minute(
    stub: VllmStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = branch(stub)
    for _ in range(3):
        remote.score(segment())
    assert stub.embedded == 4
    monkeypatch.setattr(branch_module, "COMPARE_SECONDS", -1.0)
    remote.score(segment())
    assert stub.embedded == 6


@pytest.mark.parametrize(
    "url", ["gpu:8000/v1", "ftp://gpu/v1", "http://", "http://gpu:x/v1", "http://gpu/v1 ", ""]
)
def test_an_odd_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="write http://HOST:PORT/v1"):
        LargeEndpoint(url)


@pytest.mark.parametrize("url", ["http://key@gpu/v1", "http://gpu/v1?key=hunter2"])
def test_a_key_in_the_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(UsageError, match="EGOMON_LARGE_API_KEY") as caught:
        LargeEndpoint(url)
    assert "hunter2" not in str(caught.value)


def test_certificates_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no file"):
        LargeEndpoint("https://gpu/v1", ca_file=tmp_path / "none")
    (tmp_path / "ca").write_text("hello")
    with pytest.raises(ConfigError, match="holds no certificates"):
        client(LargeEndpoint("https://gpu/v1", ca_file=tmp_path / "ca"))


@needs_openssl
def test_an_https_server_is_checked_against_the_given_certificates(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    stub = VllmStub(colours)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    stub.socket = context.wrap_socket(stub.socket, server_side=True)
    url = stub.url.replace("http", "https")
    try:
        trusted = LargeEndpoint(url, ca_file=certificate)
        assert client(trusted).models()[0].id == "large"
        with pytest.raises(LargeEndpointError, match="certificate verify failed"):
            client(LargeEndpoint(url)).models()
    finally:
        stub.kill()


def test_the_probe_is_the_same_on_every_machine() -> None:
    frames, times = probe_clip(LargeEncoderCard(weights="x", frames=4, frame_px=32, dim=2))
    assert frames.shape == (4, 32, 32, 3)
    assert frames.reshape(4, -1).astype(np.int64).sum(1).tolist() == PROBE_SUMS
    assert times == [0.0, 0.135, 0.27, 0.375]
    assert len({frame.tobytes() for frame in frames}) == 4


PROBE_SUMS = [312376, 319488, 323584, 324600]


def test_a_vector_is_kept_in_the_card_to_a_millionth_of_the_cosine() -> None:
    rng = np.random.default_rng(0)
    vector = rng.normal(size=2048).astype(np.float32)
    vector /= np.linalg.norm(vector)
    card = LargeEncoderCard(weights="x", dim=2048, probe=encode_vector(vector))
    assert check_parity(card, decode_vector(card), vector, "x") == pytest.approx(1.0, abs=1e-6)
    for damaged in ("%", encode_vector(vector[:7]), encode_vector(vector * np.nan)):
        with pytest.raises(BundleError, match=r"field `large\.probe`"):
            decode_vector(msgspec.structs.replace(card, probe=damaged))
