"""Metrics that have one value for a set of images: FID."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inscene.bench.leaderboard.board import Cell

if TYPE_CHECKING:
    import pandas as pd

    from inscene.bench.results import Results

NO_REFERENCE = "no_reference_features"
TOO_FEW = "fewer_than_2_images"


def set_values(rows: pd.DataFrame, clean: Results | None) -> Cell:
    """The distance of a method's features to those of the clean images of the same samples.

    Without an interval: images that a resample holds twice move this distance by far more than
    chance does (``docs/leaderboard.md``).
    """
    with_features = rows[rows["features"].notna()]
    missing = {
        str(status): int(count)
        for status, count in rows["status"][rows["features"].isna()].value_counts().items()
    }
    if clean is None:
        return Cell(None, 0, missing={**missing, NO_REFERENCE: len(with_features)})
    keys = ["sample_id", "version", "metric"]
    both = with_features[[*keys, "features"]].merge(
        clean.frame[clean.frame["features"].notna()][[*keys, "features"]],
        on=keys,
        suffixes=("", "_clean"),
    )
    if len(both) < len(with_features):
        missing[NO_REFERENCE] = len(with_features) - len(both)
    if len(both) < 2:
        return Cell(None, 0, missing={**missing, TOO_FEW: len(both)})
    distance = fid(_matrix(both["features"]), _matrix(both["features_clean"]))
    return Cell(distance, len(both), missing=missing)


def fid(features: NDArray[np.float64], reference_features: NDArray[np.float64]) -> float:
    """Images × features each."""
    from inscene.quality.fid_distance import frechet_from_features

    return float(frechet_from_features(features, reference_features))


def _matrix(features: Iterable[object]) -> NDArray[np.float64]:
    return np.stack([np.asarray(one, dtype=np.float64) for one in features])
