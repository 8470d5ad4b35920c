"""What the authors' own code gives for inputs that can be written down, as constants.

Computed with CLIP4Clip's `_loose_similarity` (a text vector for each axis reads out the vector) and
with the loss of DCR's `train_OpenAICLIP_stage1.py`; the leaderboard's F is in `test_metrics.py`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from egomon.branches.bundle.card import SmallCard
from egomon.branches.uemcm.clip4clip import MAX_POSITIONS, TemporalHeader
from egomon.train.dcr.loss import dcr_loss
from egomon.train.fitting.heads.header_start import header_state
from egomon.train.losses import class_weights, uemcm_loss

DIM, LAYERS, HEADS = 8, 2, 2


def wave(shape: tuple[int, ...], phase: int, scale: float = 1.0) -> Tensor:
    """Numbers that need no generator: a sine over the flat index."""
    flat = 1.7 * torch.arange(math.prod(shape), dtype=torch.float64) + phase
    return (scale * torch.sin(flat)).reshape(shape).float()


def checkpoint() -> dict[str, Tensor]:
    """A CLIP4Clip checkpoint's header, under the authors' names and in their order."""
    shapes = {
        "attn.in_proj_weight": (3 * DIM, DIM), "attn.in_proj_bias": (3 * DIM,),
        "attn.out_proj.weight": (DIM, DIM), "attn.out_proj.bias": (DIM,),
        "ln_1.weight": (DIM,), "ln_1.bias": (DIM,),
        "mlp.c_fc.weight": (4 * DIM, DIM), "mlp.c_fc.bias": (4 * DIM,),
        "mlp.c_proj.weight": (DIM, 4 * DIM), "mlp.c_proj.bias": (DIM,),
        "ln_2.weight": (DIM,), "ln_2.bias": (DIM,),
    }  # fmt: skip
    names = [(f"transformerClip.resblocks.{k}.{n}", n) for k in range(LAYERS) for n in shapes]
    state = {
        whole: wave(shapes[name], phase, 0.3) + (name in ("ln_1.weight", "ln_2.weight"))
        for phase, (whole, name) in enumerate(names)
    }
    return state | {"frame_position_embeddings.weight": wave((MAX_POSITIONS, DIM), 50, 0.1)}


FRAMES = wave((2, 5, DIM), 100, 2.0)
REAL = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool)
THEIRS = {
    "meanP": [
        [0.480784, -0.045039, -0.469178, 0.165941, 0.426417, -0.275824, -0.35534, 0.367391],
        [-0.267539, 0.445888, 0.152639, -0.485221, -0.027603, 0.492334, -0.099266, -0.466754],
    ],
    "seqTransf": [
        [0.477364, 0.238087, -0.426092, 0.210294, 0.071176, -0.525282, 0.213884, 0.403641],
        [0.156263, 0.819893, -0.025495, -0.143334, -0.302413, -0.272836, 0.340296, -0.021636],
    ],
}


@pytest.mark.parametrize("kind", ["meanP", "seqTransf"])
def test_clip4clips_headers(kind: str) -> None:
    card = SmallCard(header=kind, header_layers=LAYERS, header_heads=HEADS)  # type: ignore[arg-type]
    header = TemporalHeader(DIM, card).eval()
    if kind == "seqTransf":
        header.load_state_dict(header_state(checkpoint(), LAYERS, "theirs"))
    with torch.inference_mode():
        found = header(FRAMES, REAL).numpy()
    np.testing.assert_allclose(found, THEIRS[kind], atol=2e-6)


def test_dcrs_loss() -> None:
    target = wave((3, 2, 3, 3), 3)
    predictions = wave((3, 3, 2, 3, 3), 1) + 0.5 * target[:, None]
    loss = dcr_loss(predictions, wave((3, 2, 3, 3), 2), target)
    assert float(loss) == pytest.approx(5.278588, abs=2e-6)


def test_the_long_tail_losses() -> None:
    """Cui et al., all pairs, and Menon et al., each by its formula in plain Python."""
    logits, labels = wave((6, 2), 4, 2.0), [0, 1, 0, 0, 1, 0]
    beta, counts, prior, tau = 0.99, (90, 10), (0.9, 0.1), 1.0
    effective = [(1 - beta**n) / (1 - beta) for n in counts]
    weights = [2 / e / sum(1 / each for each in effective) for e in effective]
    rows = logits.double().tolist()

    def ce(row: list[float], label: int) -> float:
        return math.log(sum(math.exp(z - row[label]) for z in row))

    p = [1 / (1 + math.exp(row[0] - row[1])) for row in rows]
    pairs = [
        (1 - (p[i] - p[j])) ** 2 for i in range(6) if labels[i] for j in range(6) if not labels[j]
    ]
    expected = (
        sum(weights[y] * ce(row, y) for row, y in zip(rows, labels, strict=True)) / 6,
        sum(pairs) / len(pairs),
        sum(
            ce([z + tau * math.log(q) for z, q in zip(row, prior, strict=True)], y)
            for row, y in zip(rows, labels, strict=True)
        )
        / 6,
    )
    for k, each in enumerate(expected):
        lam = (float(k == 0), float(k == 1), float(k == 2))
        loss = uemcm_loss(
            logits, torch.tensor(labels), class_weights(counts, beta), torch.tensor(prior), lam,
            tau=tau,
        )  # fmt: skip
        assert float(loss) == pytest.approx(each, abs=1e-6)
