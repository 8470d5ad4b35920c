"""Folders of a large model, written so that vLLM serves them as they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from egomon.errors import BundleError

ARCHITECTURE = "Qwen3VLForConditionalGeneration"
"""The class that vLLM knows; its weights are named `model.visual...`, `model.language_model...`."""
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}"
    "{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}{{ '<|video_pad|>' }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}{{ '<|im_start|>assistant\\n' }}"
)
"""Renders the request's messages as `qwen3_vl.prompt` does; the published one repeats the vision
markers."""
_BARE = ("visual.", "language_model.")
# Of the header at the start of a safetensors file.
_LENGTH_BYTES = 8


def copy_model_folder(source: Path, target: Path) -> None:
    """Copy a model's folder; architecture, names of tensors, template and colours as vLLM wants.

    vLLM scales the pixels of videos, too, by the mean and deviation of the *image* processor: both
    processors get those of the video processor, which is what the model is trained on.

    Raises:
        BundleError: a file is damaged.
    """
    shutil.copytree(source, target)
    try:
        _edit(target / "config.json", _with_architecture)
        _edit(target / "processor_config.json", _with_one_scale)
        _edit(target / "model.safetensors.index.json", _with_prefixed_index)
        for path in sorted(target.glob("*.safetensors")):
            _prefix_tensors(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"the large model in {source} cannot be copied: {error}; is the folder complete?"
        ) from error
    (target / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


def _edit(path: Path, change: Any) -> None:
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _with_architecture(config: dict[str, Any]) -> None:
    config["architectures"] = [ARCHITECTURE]


def _with_one_scale(processor: dict[str, Any]) -> None:
    for key in ("image_mean", "image_std"):
        processor["image_processor"][key] = processor["video_processor"][key]


def _with_prefixed_index(index: dict[str, Any]) -> None:
    index["weight_map"] = {_prefixed(k): v for k, v in index["weight_map"].items()}


def _prefix_tensors(path: Path) -> None:
    """Rename in the header alone, whatever the number format: the values follow it unchanged."""
    data = path.read_bytes()
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    header = json.loads(data[_LENGTH_BYTES:end])
    if not any(name.startswith(_BARE) for name in header):
        return
    text = json.dumps({_prefixed(k): v for k, v in header.items()}).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)  # values begin on a multiple of 8 bytes
    path.write_bytes(len(text).to_bytes(_LENGTH_BYTES, "little") + text + data[end:])


def _prefixed(name: str) -> str:
    return f"model.{name}" if name.startswith(_BARE) else name
