"""Opens the data set of a `--data` folder."""

from __future__ import annotations

from pathlib import Path

from egomon.branches.bundle.card import FrameEncoderCard
from egomon.errors import DataError
from egomon.train.datasets.captaincook4d import is_captaincook4d, read_captaincook4d
from egomon.train.datasets.captaincook4d_steps import (
    is_captaincook4d_steps,
    read_captaincook4d_steps,
)
from egomon.train.datasets.holoassist import read_holoassist
from egomon.train.datasets.holoassist_files import is_holoassist
from egomon.train.features.feature_set import DATASET_FILE, FeatureSet, read_feature_set


def open_data(folder: Path, encoder: FrameEncoderCard | None = None) -> FeatureSet:
    """A feature set, or a folder laid out like CaptainCook4D or HoloAssist.

    Args:
        folder: path of the data set.
        encoder: of the bundle that will score; HoloAssist's label vectors are made with its
            vocabulary. None makes them with the folder's own.

    Raises:
        DataError: if it is none of these, or broken; names file and row.
    """
    if (folder / DATASET_FILE).is_file():
        data = read_feature_set(folder)
    elif is_captaincook4d(folder):
        data = read_captaincook4d(folder)
    elif is_captaincook4d_steps(folder):
        data = read_captaincook4d_steps(folder)
    elif is_holoassist(folder):
        data = read_holoassist(folder, encoder)
    else:
        raise DataError(
            f"{folder} is no feature set (dataset.json), nor laid out like CaptainCook4D "
            "(annotations.json and features/, or steps.json and step_embeddings.npz) or "
            "HoloAssist (data-annotation-*.json or fine.csv.gz)"
        )
    if encoder is not None and data.card.dim != encoder.dim:
        raise DataError(
            f"{folder} has vectors of {data.card.dim} numbers, but the bundle's encoder "
            f"{encoder.architecture} gives {encoder.dim}; extract with that bundle"
        )
    return data
