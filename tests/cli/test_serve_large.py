"""`egomon serve-large`: the command of the server, and the comparison with a running one."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from tools.vllm_stub import VllmStub

from egomon.branches.bundle.locate import find_bundle, read_card
from egomon.branches.remote.probe import decode_vector
from egomon.branches.remote.serve import serve_command
from egomon.branches.remote.vllm_folder import CHAT_TEMPLATE
from egomon.cli.app import app
from egomon.errors import LargeEndpointError, UsageError

CARD = read_card(find_bundle("workbench")).large


def test_the_command_is_one_that_a_shell_takes_apart_again() -> None:
    assert CARD is not None
    run = CliRunner().invoke(app, ["serve-large", "--port", "8123"])
    words = shlex.split(run.output.replace("\\\n", ""))
    assert words == serve_command(CARD, find_bundle("workbench"), port=8123)
    assert words[:2] == ["vllm", "serve"]
    assert Path(words[2]).joinpath("config.json").is_file()
    assert words[words.index("--chat-template") + 1] == CHAT_TEMPLATE
    assert "--trust-request-mm-kwargs" in words


def test_a_model_of_the_hub_is_served_by_its_id() -> None:
    assert CARD is not None
    card = msgspec.structs.replace(CARD, weights="Qwen/Qwen3-VL-Embedding-2B")
    assert serve_command(card, Path("/nowhere"))[2] == "Qwen/Qwen3-VL-Embedding-2B"


def test_a_running_server_is_compared_and_its_cosine_told() -> None:
    assert CARD is not None
    vector = decode_vector(CARD).tolist()
    stub = VllmStub(lambda frames, times: vector)
    try:
        run = CliRunner().invoke(app, ["serve-large", "--check", stub.url])
        assert f"{stub.url} serves the model of workbench@" in run.output
        assert "cosine 1.00000" in run.output
        vector[0] += 1.0
        run = CliRunner().invoke(app, ["serve-large", "--check", stub.url])
        assert isinstance(run.exception, LargeEndpointError)
    finally:
        stub.kill()


def test_the_vector_is_written_into_a_card_that_has_none(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    before = read_card(folder).large
    assert before is not None
    text = (folder / "bundle.json").read_text()
    (folder / "bundle.json").write_text(text.replace(before.probe, ""))
    run = CliRunner().invoke(app, ["serve-large", "--model", str(folder), "--record"])
    assert "wrote the vector" in run.output
    after = read_card(folder).large
    assert after is not None
    np.testing.assert_allclose(decode_vector(after), decode_vector(before), atol=1e-3)


def test_what_cannot_be_served_is_refused() -> None:
    for arguments, text in (
        (["--model", "captaincook4d-pe-core-b16"], "has no large branch"),
        (["--record", "--check", "http://h/v1"], "give one"),
        (["--check", "gpu:8000"], "write http://HOST:PORT/v1"),
    ):
        run = CliRunner().invoke(app, ["serve-large", *arguments])
        assert isinstance(run.exception, UsageError), arguments
        assert text in str(run.exception)


@pytest.mark.parametrize("frames", [16, 32])
def test_the_longest_prompt_fits_the_context_of_the_command(frames: int) -> None:
    assert CARD is not None
    card = msgspec.structs.replace(CARD, frames=frames, max_tokens=4096)
    command = serve_command(card, Path("/nowhere"))
    assert int(command[command.index("--max-model-len") + 1]) > frames // 2 * (16 + 24)
