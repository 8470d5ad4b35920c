"""Offline: data sets, features, losses, metrics, fitting, evaluation, simulator, teaching.

`train` fits a bundle to a feature set, `evaluate_features` measures it, `extract` makes a
feature set of videos. Names are resolved on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from egomon.train.evaluation.evaluate import evaluate_features
    from egomon.train.extraction.extract import extract
    from egomon.train.features.feature_set import FeatureSet
    from egomon.train.fitting.fit import TrainReport, train

_HOMES = {
    "FeatureSet": "egomon.train.features.feature_set",
    "TrainReport": "egomon.train.fitting.fit",
    "evaluate_features": "egomon.train.evaluation.evaluate",
    "extract": "egomon.train.extraction.extract",
    "train": "egomon.train.fitting.fit",
}

__all__ = ["FeatureSet", "TrainReport", "evaluate_features", "extract", "train"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'egomon.train' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
