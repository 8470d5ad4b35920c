"""The server of a bundle's large model: its command, and whether a running one fits."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from egomon.branches.bundle.card import LargeEncoderCard
from egomon.branches.bundle.card_check import visual_tokens
from egomon.branches.bundle.locate import LARGE_FOLDER
from egomon.branches.remote.vllm_folder import ARCHITECTURE, CHAT_TEMPLATE

TOKENS_OF_TEXT = 24
"""For each pair of frames: its time and the vision markers, byte by byte at most."""
TOKENS_OF_PROMPT = 512
"""Instruction and markers."""


def model_of(card: LargeEncoderCard, folder: Path) -> str:
    """The model as vLLM takes it: a folder in full, or a hub id."""
    inside = folder / (LARGE_FOLDER if card.weights == "bundle" else card.weights)
    return str(inside.resolve()) if inside.is_dir() else card.weights


def serve_command(card: LargeEncoderCard, folder: Path, *, port: int = 8000) -> list[str]:
    """Arguments of `vllm serve` for the large model of a bundle.

    Args:
        card: of the large encoder.
        folder: of the bundle.
        port: on which it listens, on this machine only.
    """
    model = model_of(card, folder)
    tokens = visual_tokens(card) + card.frames // 2 * TOKENS_OF_TEXT + TOKENS_OF_PROMPT
    command = ["vllm", "serve", model, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--runner", "pooling", "--convert", "embed"]
    command += ["--pooler-config", json.dumps({"pooling_type": "LAST"})]
    command += ["--hf-overrides", json.dumps({"architectures": [ARCHITECTURE]})]
    command += ["--chat-template", CHAT_TEMPLATE, "--chat-template-content-format", "openai"]
    command += ["--trust-request-mm-kwargs"]
    command += ["--limit-mm-per-prompt", json.dumps({"video": 1, "image": 0})]
    return [*command, "--max-model-len", str(tokens)]


def as_shell(command: list[str]) -> str:
    """The command for a shell, an option a line."""
    words = [shlex.quote(word) for word in command]
    lines = [words[0]]
    for word in words[1:]:
        lines[-1:] = [lines[-1], word] if word.startswith("--") else [f"{lines[-1]} {word}"]
    return " \\\n  ".join(lines)
