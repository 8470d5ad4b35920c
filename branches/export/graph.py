"""From a torch module to an ONNX file: traced, with weights stored as small as is exact."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from egomon.branches.bundle.card import OnnxFileCard
from egomon.branches.onnx.session import OPSET as OPSET_NOTE
from egomon.errors import BundleError
from egomon.extras import needs_extra

log = logging.getLogger(__name__)

# The first with layer normalisation; a higher one would shut out older ONNX Runtimes.
OPSET = 17
# Size of one ONNX file, by its format.
_MOST_BYTES = 2 << 30
# Values of a weight that is worth a cast.
_LEAST_HALVED = 256


def write_graph(
    path: Path,
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    output: tuple[str, int],
    dynamic: Mapping[str, Mapping[int, str]],
    metadata: Mapping[str, str],
) -> None:
    """Trace a module and write it.

    Args:
        path: the file to write.
        module: frozen, in inference mode; takes the inputs in order.
        inputs: an example of each.
        output: name of the one output, (B, D), and D. A batch of any length is named `batch`.
        dynamic: axes of any length, by input or output.
        metadata: noted in the file.

    Raises:
        BundleError: the module is too large or cannot be traced.
        MissingExtraError: `onnx` is not installed.
    """
    with needs_extra("writing ONNX files", "torch"):
        import onnx
    size = sum(p.numel() * p.element_size() for p in module.parameters())
    if size > _MOST_BYTES:
        raise BundleError(
            f"its weights have {size / 2**30:.1f} GiB as {next(module.parameters()).dtype}, and "
            "one ONNX file holds at most 2 GiB; run it in torch, or on a shared server"
        )
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator has no ONNX form
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # shapes that the trace fixes are fixed in a network
            torch.onnx.export(
                module,
                tuple(inputs.values()),
                str(path),
                input_names=list(inputs),
                output_names=[output[0]],
                dynamic_axes={name: dict(axes) for name, axes in dynamic.items()},
                opset_version=OPSET,
                # Else batch norms are folded into copies of weights that do not outlive the pass
                # (torch 2.14); the runtime folds them when it loads.
                training=torch.onnx.TrainingMode.PRESERVE,
                dynamo=False,
            )
        model = onnx.load(path)
        rows, columns = model.graph.output[0].type.tensor_type.shape.dim
        columns.dim_value = output[1]  # a trace may leave them open
        if rows.dim_param != "batch":
            rows.dim_value = 1
        _halve(onnx, model)
        onnx.helper.set_model_props(model, {**metadata, OPSET_NOTE: str(OPSET)})
        onnx.checker.check_model(model)
        onnx.save(model, path)
    except Exception as error:  # torch and onnx raise whatever their parts raise
        raise BundleError(f"{type(error).__name__}: {error}") from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def pin(path: Path, cosine: float, dtype: Literal["float32", "int8"] = "float32") -> OnnxFileCard:
    """A card's entry for a file that was just written."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return OnnxFileCard(sha256=digest, opset=OPSET, dtype=dtype, cosine=round(cosine, 6))


def _halve(onnx: Any, model: Any) -> None:
    """Store weights whose values are float16 anyway as such; the runtime casts them once."""
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT:
            continue
        values = onnx.numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.size < _LEAST_HALVED or not np.array_equal(half.astype(np.float32), values):
            continue
        name = weight.name
        weight.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}.float16"))
        to = onnx.TensorProto.FLOAT
        casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=to))
    _prepend(model.graph.node, casts)


def _prepend(nodes: Any, first: Sequence[Any]) -> None:
    rest = list(nodes)
    del nodes[:]
    nodes.extend([*first, *rest])
