"""Where CLIP4Clip's seqTransf starts from: CLIP's text transformer, or a trained CLIP4Clip.

As published, the header takes CLIP's text positions and the first layers of its text transformer
(arXiv 2104.08860, section 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from egomon.branches.bundle.hub import hub_access, offline_hint
from egomon.branches.bundle.weights import check_finite
from egomon.branches.encoders.dcr_weights import read_state
from egomon.branches.torch_modules import StateDict, to_arrays
from egomon.branches.uemcm.clip4clip import TemporalHeader
from egomon.errors import BundleError, ConfigError

_FIRST = "resblocks.0.ln_1.weight"
# Prefix of the layers and name of the positions: CLIP4Clip's own header, OpenAI's and open_clip's
# text towers, and that of a CLIP4Clip without a header.
_LAYOUTS = (
    ("transformerClip.", "frame_position_embeddings.weight"),
    ("transformer.", "positional_embedding"),
    ("text.transformer.", "text.positional_embedding"),
    ("clip.transformer.", "clip.positional_embedding"),
)
# A layer's parts in CLIP and in `nn.TransformerEncoderLayer`.
_PARTS = {
    "attn.in_proj_": "self_attn.in_proj_",
    "attn.out_proj.": "self_attn.out_proj.",
    "ln_1.": "norm1.",
    "ln_2.": "norm2.",
    "mlp.c_fc.": "linear1.",
    "mlp.c_proj.": "linear2.",
}
_HF_PARTS = {
    "self_attn.out_proj.": "attn.out_proj.",
    "layer_norm1.": "ln_1.",
    "layer_norm2.": "ln_2.",
    "mlp.fc1.": "mlp.c_fc.",
    "mlp.fc2.": "mlp.c_proj.",
}


def start_header(header: TemporalHeader, source: str) -> None:
    """Fill a seqTransf header.

    Args:
        header: what is filled.
        source: see `Recipe.header_start`.

    Raises:
        ConfigError: another kind of header.
        BundleError: the weights cannot be had, are of no text transformer, or do not fit.
    """
    if header.kind != "seqTransf":
        raise ConfigError(
            f"header_start is {source!r}, but header is {header.kind!r}; only seqTransf starts "
            "from weights"
        )
    found = header_state(_read(source), len(header.transformer.layers), source)
    expected = header.state_dict()
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            raise BundleError(
                f"{source}: {name} has shape {tuple(found[name].shape)}, but the frame vectors ask "
                f"for {tuple(tensor.shape)}; take weights whose text width is the encoder's dim"
            )
    header.load_state_dict({name: value.float() for name, value in found.items()})


def header_state(state: Mapping[str, Tensor], layers: int, source: str) -> StateDict:
    """The header's state from that of CLIP, open_clip, a Hugging Face CLIPModel or CLIP4Clip.

    Args:
        state: names and weights.
        layers: the first so many are taken.
        source: for messages.

    Raises:
        BundleError: if there is no text transformer, or it has fewer layers.
    """
    state = _as_open_clip({name.removeprefix("module."): value for name, value in state.items()})
    for prefix, positions in _LAYOUTS:
        if prefix + _FIRST in state and positions in state:
            break
    else:
        raise BundleError(f"{source} holds no text transformer of CLIP and no header of CLIP4Clip")
    out = {"positions": state[positions]}
    for layer in range(layers):
        for theirs, ours in _PARTS.items():
            for kind in ("weight", "bias"):
                name = f"{prefix}resblocks.{layer}.{theirs}{kind}"
                if name not in state:
                    raise BundleError(
                        f"{source} lacks {name}; header_layers is {layers}, take fewer layers or "
                        "other weights"
                    )
                out[f"transformer.layers.{layer}.{ours}{kind}"] = state[name]
    check_finite(to_arrays(out), source)
    return out


def _read(source: str) -> StateDict:
    architecture, _, tag = source.partition(":")
    if Path(source).exists() or not tag:
        return read_state(Path(source))
    import open_clip

    try:
        with hub_access():
            model = open_clip.create_model(architecture, pretrained=tag, require_pretrained=True)
    except Exception as error:  # open_clip raises whatever its parts raise
        raise BundleError(
            f"header_start {source!r} cannot be loaded: {error}; {offline_hint()}, or give a local "
            "file or folder"
        ) from error
    return dict(model.state_dict())


def _as_open_clip(state: StateDict) -> StateDict:
    """The text tower of a Hugging Face CLIPModel under OpenAI's names; others as they are."""
    text = {
        name.removeprefix("clip.").removeprefix("text_model."): value
        for name, value in state.items()
        if name.removeprefix("clip.").startswith("text_model.")
    }
    if not text:
        return state
    out = {}
    for name, value in text.items():
        if name == "embeddings.position_embedding.weight":
            out["positional_embedding"] = value
        if not name.startswith("encoder.layers."):
            continue
        index, _, rest = name.removeprefix("encoder.layers.").partition(".")
        target = f"transformer.resblocks.{index}."
        stem, _, kind = rest.rpartition(".")
        if stem == "self_attn.q_proj":
            parts = [text.get(name.replace("q_proj", f"{p}_proj")) for p in "qkv"]
            joined = [part for part in parts if part is not None]
            out[f"{target}attn.in_proj_{kind}"] = torch.cat(joined)  # shapes are checked later
        elif f"{stem}." in _HF_PARTS:
            out[f"{target}{_HF_PARTS[stem + '.']}{kind}"] = value
    return out
