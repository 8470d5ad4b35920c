from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch  # noqa: F401  # the kernel that the bytes are compared with
from PIL import Image

from egomon.branches.encoders.preprocess import ImagePreparer

SIZES = [(720, 1280), (480, 640), (640, 480), (300, 300), (97, 211), (100, 60)]


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth areas, edges and noise, as video has."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin(x / a + seed) * np.cos(y / b) for a, b in ((40, 25), (9, 60), (120, 7))]
    image = np.stack(waves, axis=-1) * 80 + 128 + rng.normal(scale=6, size=(height, width, 3))
    image[height // 3 : height // 2, width // 4 : width // 2] = (230, 40, 40)
    return image.clip(0, 255).astype(np.uint8)


def reference(rgb: np.ndarray, px: int, crop: str) -> np.ndarray:
    """open_clip's own transform, without its normalisation."""
    from open_clip.transform import image_transform

    mode = {"center": "shortest", "squash": "squash", "letterbox": "longest"}[crop]
    transform = image_transform(
        px, is_train=False, mean=(0, 0, 0), std=(1, 1, 1), resize_mode=mode, fill_color=0
    )
    return transform(Image.fromarray(rgb)).permute(1, 2, 0).numpy() * 255


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(((a - b) ** 2).mean(), 1e-12)))


@pytest.mark.parametrize("crop", ["center", "squash", "letterbox"])
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[1]}x{s[0]}")
def test_an_image_is_prepared_as_open_clip_does(size: tuple[int, int], crop: str) -> None:
    rgb = scene(*size)
    mine = ImagePreparer(224, crop)(rgb)
    assert mine.shape == (224, 224, 3)
    assert mine.dtype == np.uint8
    assert mine.flags.c_contiguous
    assert psnr(mine.astype(np.float64), reference(rgb, 224, crop)) >= 60


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("crop", ["center", "center_floor", "squash", "letterbox"])
@pytest.mark.parametrize("px", [96, 224])
def test_without_torch_an_image_is_prepared_to_the_same_bytes(
    px: int, crop: str, interpolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [scene(*size) for size in (*SIZES, (1080, 1920), (31, 50))]
    prepare = ImagePreparer(px, crop, 0.875, interpolation)
    expected = [prepare(image) for image in images]
    monkeypatch.setitem(sys.modules, "torch", None)
    found = [prepare(image) for image in images]
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_many_threads_get_the_same_pixels_as_one() -> None:
    images = [scene(240, 320, seed) for seed in range(16)]
    prepare = ImagePreparer(64)
    alone = [prepare(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(prepare, images))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("crop", ["center", "squash", "letterbox"])
def test_an_image_of_the_right_size_is_copied_unchanged(crop: str) -> None:
    rgb = scene(64, 64)
    prepared = ImagePreparer(64, crop)(rgb)
    assert np.array_equal(prepared, rgb)
    assert not np.shares_memory(prepared, rgb)


def test_read_only_and_strided_images_are_taken() -> None:
    rgb = scene(120, 160)
    expected = ImagePreparer(64)(rgb[:, ::-1].copy())
    rgb.setflags(write=False)
    assert np.array_equal(ImagePreparer(64)(rgb[:, ::-1]), expected)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
    ],
    ids=["grey", "alpha", "float", "empty"],
)
def test_what_is_no_rgb_image_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 RGB"):
        ImagePreparer(64)(bad)
