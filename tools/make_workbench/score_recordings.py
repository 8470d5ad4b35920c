"""Scores of the trained branches on the segments that the stream finds."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from egomon.branches.uemcm.heads import ContextBranch, LargeHead
from tools.make_workbench.augment import real_samples
from tools.make_workbench.encode_recordings import BankedRecording
from tools.make_workbench.fuse import GateInputs
from tools.make_workbench.networks.large import score_clips, visual_tokens
from tools.make_workbench.networks.qwen import WIDTH, Reader, VisionTower
from tools.make_workbench.stream import Found

__all__ = ["GateInputs", "score_recordings", "score_small"]


@torch.inference_mode()
def score_small(
    branch: ContextBranch, recording: BankedRecording, found: Found
) -> tuple[torch.Tensor, torch.Tensor]:
    """h_s (K, W) and z_s (K, 2) of the found segments of one recording."""
    samples = real_samples(recording, found.spans, found.kinds, found.parts)
    out = branch(samples.coarse, samples.coarse_mask, samples.fine, samples.fine_mask)
    return out.feature, out.logits


def score_recordings(
    branch: ContextBranch,
    vision: VisionTower | None,
    reader: Reader | None,
    head: LargeHead | None,
    recordings: list[BankedRecording],
    found: list[Found],
) -> GateInputs:
    """Both branches on all recordings; zeros stand for a large branch that is not asked."""
    h_s, z_s, h_l, z_l, numbers = [], [], [], [], []
    for number, (recording, segments) in enumerate(zip(recordings, found, strict=True)):
        if not len(segments.kinds):
            continue
        feature, logits = score_small(branch, recording, segments)
        h_s.append(feature)
        z_s.append(logits)
        if vision is None or reader is None or head is None:
            h_l.append(torch.zeros(len(feature), WIDTH))
            z_l.append(torch.zeros(len(feature), 2))
        else:
            with torch.inference_mode():
                clips = visual_tokens(vision, recording, segments.spans, segments.kinds)
                said = score_clips(reader, head, clips)
            h_l.append(said[0])
            z_l.append(said[1])
        numbers.append(np.full(len(segments.kinds), number))
    kept = [segments for segments in found if len(segments.kinds)]
    return GateInputs(
        torch.cat(h_s).clone(), torch.cat(z_s).clone(), torch.cat(h_l).clone(),
        torch.cat(z_l).clone(), _joined([s.kinds for s in kept]), _joined([s.steps for s in kept]),
        _joined(numbers),
    )  # fmt: skip


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts).astype(np.int64)
