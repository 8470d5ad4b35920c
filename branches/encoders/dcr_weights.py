"""DCR-enhanced CLIP weights (arXiv 2603.04803) in open_clip's image tower.

DCR saves a Hugging Face `CLIPModel`: a folder with `config.json` and `model.safetensors` or
`pytorch_model.bin`. The tower's parameters are the same as open_clip's under other names, except
that attention keeps one matrix for query, key and value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.bundle.weights import check_finite, check_shapes
from egomon.branches.encoders.clip_tower import as_tower, create, refuse_exact_gelu
from egomon.branches.encoders.clip_tower import load as load_open_clip
from egomon.branches.encoders.tower import LoadedTower
from egomon.branches.encoders.tower_config import CLIP, of_hugging_face
from egomon.branches.torch_modules import StateDict, shapes_of, to_arrays
from egomon.errors import BundleError

_FILES = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)

_VISION = "vision_model."
_PROJECTION = "visual_projection.weight"

_STEMS = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding": "conv1",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm": "ln_pre",  # transformers' own spelling
    "post_layernorm": "ln_post",
}
_LAYER_STEMS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def load(card: FrameEncoderCard, folder: Path) -> LoadedTower:
    """The image tower with DCR weights.

    Args:
        card: the architecture is open_clip's name, with `-quickgelu`; weights are a folder or
            file, as there is no hub that offers them.
        folder: where relative paths start.

    Raises:
        BundleError: if the weights are missing, of another layout or for another architecture.
    """
    if card.weights == "bundle" or (card.weights or "").startswith("random:"):
        refuse_exact_gelu(card.architecture, "DCR")
        tower = load_open_clip(card, folder)
        return replace(tower, own=CLIP | {"crop": "center_floor"})
    path = folder / (card.weights or "")
    if card.weights is None or not path.exists():
        raise BundleError(
            f"field `frame_encoder.weights` is {card.weights!r}, which does not exist; DCR weights "
            "are downloaded by hand: give the folder with config.json and pytorch_model.bin"
        )
    refuse_exact_gelu(card.architecture, "DCR")
    _check_activation(path, card)
    state = hf_vision_to_open_clip(read_state(path))
    check_finite(to_arrays(state), str(path))
    visual = create(card.architecture, seed=0)
    check_shapes(shapes_of(visual), state, f"{path} as {card.architecture}")
    visual.load_state_dict(state)
    return as_tower(visual, of_hugging_face(path))


def read_state(path: Path) -> StateDict:
    """StateDict dict of a folder or file; .bin files are read without unpickling objects.

    Raises:
        BundleError: if there is none or it cannot be read.
    """
    file = path
    if path.is_dir():
        found = [path / name for name in _FILES if (path / name).is_file()]
        if not found:
            raise BundleError(f"{path} has none of {', '.join(_FILES)}; give a CLIPModel folder")
        file = found[0]
    try:
        if file.suffix == ".safetensors":
            state: object = safetensors.torch.load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and safetensors errors have no common type
        raise BundleError(
            f"{file} cannot be read as weights ({error}); it is damaged or holds more than tensors"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BundleError(f"{file} holds no state dict; give the weights that DCR saved")
    return state


def hf_vision_to_open_clip(state: Mapping[str, Tensor]) -> StateDict:
    """Image tower of a `CLIPModel` state dict, under open_clip's names without `visual.`.

    A `clip.` prefix is removed; the text tower is dropped.

    Raises:
        BundleError: if it is another model's state dict.
    """
    state = {name.removeprefix("clip."): value for name, value in state.items()}
    if _PROJECTION not in state:
        raise BundleError(
            f"the weights have no {_PROJECTION}: they are not of a CLIPModel with its projection, "
            "which DCR trains (SigLIP models are not supported)"
        )
    out: StateDict = {"proj": state[_PROJECTION].t().contiguous()}
    for name, value in state.items():
        if name.startswith(_VISION) and not name.endswith("position_ids"):
            out.update(_rename(name.removeprefix(_VISION), value, state))
    return out


def _rename(name: str, value: Tensor, state: Mapping[str, Tensor]) -> StateDict:
    layer = _LAYER.fullmatch(name)
    if layer:
        index, part, kind = layer.groups()
        return _rename_in_layer(index, part, kind, value, state)
    if name in _STEMS:
        return {_STEMS[name]: value}
    stem, _, kind = name.rpartition(".")
    if stem in _STEMS:
        return {f"{_STEMS[stem]}.{kind}": value}
    raise BundleError(f"the weights hold {_VISION}{name}, which a CLIPModel does not have")


def _rename_in_layer(
    index: str, stem: str, kind: str, value: Tensor, state: Mapping[str, Tensor]
) -> StateDict:
    target = f"transformer.resblocks.{index}."
    if stem in ("self_attn.k_proj", "self_attn.v_proj"):
        return {}  # taken along with q_proj
    if stem == "self_attn.q_proj":
        names = [f"{_VISION}encoder.layers.{index}.self_attn.{part}_proj.{kind}" for part in "qkv"]
        missing = [name for name in names if name not in state]
        if missing:
            raise BundleError(f"the weights lack {missing[0]}; the file is incomplete")
        return {f"{target}attn.in_proj_{kind}": torch.cat([state[name] for name in names])}
    if stem not in _LAYER_STEMS:
        raise BundleError(f"the weights hold a layer part {stem}, which a CLIPModel does not have")
    return {f"{target}{_LAYER_STEMS[stem]}.{kind}": value}


def _check_activation(path: Path, card: FrameEncoderCard) -> None:
    config = path / "config.json"
    if not config.is_file():
        return
    try:
        parsed = json.loads(config.read_bytes())
        activation = parsed.get("vision_config", {}).get("hidden_act", "quick_gelu")
    except (ValueError, AttributeError) as error:
        raise BundleError(f"{config} is not a CLIPModel's configuration: {error}") from error
    if activation != "quick_gelu":
        raise BundleError(
            f"{config} says activation {activation!r}, but {card.architecture} computes QuickGELU; "
            "these are not DCR weights of an OpenAI or MetaCLIP model"
        )
