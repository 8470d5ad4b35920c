"""What the measurements share: a folder, sizes, and the models and videos made so far."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.branches.threads import usable_cores
from pipeline_parts import models, video

EXAMPLE = Path(__file__).parents[2] / "examples" / "bench.mp4"


class Bench:
    """One run of the benchmark.

    Args:
        folder: for videos, bundles and event stores.
        quick: small models and short videos, to see that all works; ratios mean little then.
    """

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.folder = folder
        self.quick = quick
        self.repeats = 1 if quick else 3
        self.threads = max(1, usable_cores() - 1)
        """What a live run takes."""

    @cached_property
    def film(self) -> Path:
        """The video of most figures."""
        size, seconds = ((320, 240), 12.0) if self.quick else ((1280, 720), 60.0)
        return video.film(self.folder / "film.mp4", seconds, size)

    @cached_property
    def long_film(self) -> Path:
        """Small pictures, long enough for any live measurement."""
        return video.film(self.folder / "long.mp4", 6.0 if self.quick else 60.0, (640, 360))

    @cached_property
    def work_film(self) -> Path:
        """Rendered bench work, what the bundled encoder is for."""
        return video.loop(EXAMPLE, self.folder / "work.mp4", 46.0 if self.quick else 90.0)

    @cached_property
    def vit(self) -> Bundle:
        """ViT-B/32, or a smaller one when quick."""
        return models.vit_bundle(self.folder, "ViT-S-32" if self.quick else "ViT-B-32")

    @cached_property
    def small_vit(self) -> Bundle:
        """ViT-S/32 at two frames a second."""
        return models.vit_bundle(self.folder, "ViT-S-32", fps=2.0)

    @cached_property
    def workbench(self) -> Bundle:
        """The bundle that ships."""
        return load_bundle("workbench", device="cpu")
