"""The architectures of the method, at their real size where a CPU allows, through one replay."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from command import Run
from tiny_models import build_tiny_qwen3vl, tiny_card, tiny_tensors

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.branches.load_bundle import save_bundle


def test_vit_b_32_quickgelu_and_qwen3_vl_score_one_video_together(
    egomon: Run, video: Path, tmp_path: Path
) -> None:
    encoder = FrameEncoderCard(
        library="open_clip",
        architecture="ViT-B-32-quickgelu",
        weights="random:0",
        image_px=224,
        dim=512,
    )
    card = msgspec.structs.replace(
        tiny_card(tmp_path, large=True, name="real-size"),
        frame_encoder=encoder.recorded(),
        guard=None,
        activity_width=0,
    )
    tensors = tiny_tensors(card)
    bundle = save_bundle(tmp_path / "b", card, tensors, build_tiny_qwen3vl(tmp_path / "qwen"))
    done = egomon(
        *("replay", video, "--model", bundle, "--end", "6", "--threshold", "0.0", "--json"),
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["frames"]["encoded"] == 24, "each of 6 s x 4 frames once"
    assert summary["refine"]["ok"] == summary["segments"] > 0
    alert = summary["alert_list"][0]
    assert alert["mode"] == "full"
    weights = alert["scores"]["gate"]
    assert abs(weights["small"] + weights["large"] - 1.0) < 1e-5
