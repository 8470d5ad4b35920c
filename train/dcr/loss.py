"""The contrastive reconstruction loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.1


def dcr_loss(
    predictions: Tensor, plus: Tensor, target: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    """Mean over images of logsumexp(p1, p2, negatives) - (p1 + p2) / 2.

    All similarities are cosines over `temperature`. The anchor is the prediction made with the
    image's own token, p1 its similarity to the one made with another view's token, p2 to the
    truth, negatives to those made with the tokens of the other images of the batch.

    Args:
        predictions: (B, B, ...); [i, k] is image i denoised with the token of image k.
        plus: (B, ...) image i denoised with the token of its other view.
        target: (B, ...) what the diffusion model should predict.
        temperature: of the softmax.

    >>> eye = torch.eye(2)
    >>> apart = torch.stack([torch.stack([eye[0], eye[1]]), torch.stack([eye[0], eye[1]])])
    >>> alike = torch.stack([torch.stack([eye[0], eye[0]]), torch.stack([eye[1], eye[1]])])
    >>> bool(dcr_loss(apart, eye, eye) < dcr_loss(alike, eye, eye))
    True
    """
    size = len(predictions)
    every = F.normalize(predictions.flatten(2).float(), dim=-1)
    anchor = every[torch.arange(size), torch.arange(size)]
    p1 = (anchor * F.normalize(plus.flatten(1).float(), dim=-1)).sum(-1) / temperature
    p2 = (anchor * F.normalize(target.flatten(1).float(), dim=-1)).sum(-1) / temperature
    others = torch.einsum("id,ikd->ik", anchor, every) / temperature
    own = torch.eye(size, dtype=torch.bool, device=others.device)
    others = others.masked_fill(own, float("-inf"))
    everything = torch.cat([p1[:, None], p2[:, None], others], dim=1)
    return (everything.logsumexp(dim=1) - (p1 + p2) / 2).mean()
