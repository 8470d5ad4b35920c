"""Frame tower of the demonstration bundle: a small convolutional net with key points.

A trunk of stride 8 ends in heat maps; where each map is hottest, and how hot, goes into the frame
vector together with the pooled features. The vector is `[embedding, key points]`: the embedding is
the one that was trained against captions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POINT_SCALE = 0.35
"""Weight of the key points beside the unit embedding, so that neither drowns the other."""


def _conv(inputs: int, outputs: int, stride: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels, 1),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return F.relu(x + self.body(x))


class KeyPointTower(nn.Module):
    """(B, 3, S, S) normalised pictures to (B, embedding + 3 * things) vectors.

    Args:
        width: Channels of the first layer.
        embedding: Length of the part that is trained against captions.
        things: Heat maps with a meaning (parts, hands, cards, port); each gives x, y, presence.
        points: Further heat maps that the tower may use as it likes.
    """

    def __init__(self, width: int, embedding: int, things: int, points: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.things = things
        self.output_dim = embedding + 3 * things
        w = width
        self.trunk = nn.Sequential(
            _conv(3, w, 2, 5), _conv(w, 2 * w, 2), _Residual(2 * w), _conv(2 * w, 4 * w, 2),
            _Residual(4 * w), _Residual(4 * w), _Residual(4 * w),
        )  # fmt: skip
        self.heat = nn.Conv2d(4 * w, things, 1)
        self.free = nn.Conv2d(4 * w, points, 1)
        nn.init.constant_(self.heat.bias, -4.0)  # type: ignore[arg-type]  # most cells are empty
        pooled = 8 * w + 3 * (things + points)
        self.out = nn.Sequential(
            nn.Linear(pooled, 2 * embedding), nn.GELU(), nn.Linear(2 * embedding, embedding)
        )

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embedding (B, E), key points (B, 3 * things) and heat logits (B, things, S/8, S/8)."""
        x = self.trunk(x)
        heat = self.heat(x).float()
        maps = torch.cat([heat, self.free(x).float()], dim=1)
        x = x.float()
        px, py, presence = _locate(maps)
        pooled = [x.mean(dim=(2, 3)), x.amax(dim=(2, 3)), px, py, presence]
        n = self.things
        seen = presence[:, :n]
        # A place means nothing where the thing is not seen.
        points = torch.cat([px[:, :n] * seen, py[:, :n] * seen, seen], dim=1)
        return self.out(torch.cat(pooled, dim=1)).float(), points, heat

    def forward(self, x: Tensor) -> Tensor:
        """Frame vectors (B, output_dim)."""
        embedding, points, _ = self.parts(x)
        return torch.cat([F.normalize(embedding, dim=-1), points * POINT_SCALE], dim=1)


def _locate(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Spatial soft-max: expected x and y in [-1, 1] and the sigmoid of the peak, each (B, C)."""
    height, width = map(int, maps.shape[2:])  # fixed in a traced graph too
    share = maps.flatten(2).softmax(dim=-1).view_as(maps)
    xs = (torch.arange(width, device=maps.device) + 0.5) / width * 2 - 1
    ys = (torch.arange(height, device=maps.device) + 0.5) / height * 2 - 1
    px = (share.sum(dim=2) * xs).sum(dim=-1)
    py = (share.sum(dim=3) * ys).sum(dim=-1)
    return px, py, torch.sigmoid(maps.amax(dim=(2, 3)))


def build(options: Mapping[str, int | float | str | bool], image_px: int) -> KeyPointTower:
    """The tower of a bundle card.

    Args:
        options: `width`, `embedding`, `things`, `points`.
        image_px: Side of the pictures; a multiple of 8.
    """
    if image_px % 8:
        raise ValueError(f"image_px must be a multiple of 8, got {image_px}")
    names = ("width", "embedding", "things", "points")
    width, embedding, things, points = (int(options[name]) for name in names)
    return KeyPointTower(width, embedding, things, points)
