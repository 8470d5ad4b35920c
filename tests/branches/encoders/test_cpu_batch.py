import pytest

from egomon.branches.encoders.cpu_batch import cpu_batch


@pytest.mark.parametrize(
    ("image_px", "megabytes", "frames"),
    [
        (224, 19, 2),  # EfficientNet-Lite0
        (224, 345, 8),  # ViT-B/32
        (96, 1, 8),
        (384, 19, 1),
        (384, 345, 8),
    ],
)
def test_weights_that_no_cache_holds_are_shared_by_more_frames(
    image_px: int, megabytes: int, frames: int
) -> None:
    assert cpu_batch(image_px, megabytes * 10**6) == frames
