"""Two methods on the same samples: differences, and whether chance explains them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from inscene.bench.leaderboard.intervals import (
    SEED,
    Floats,
    Interval,
    bootstrap_means,
    chunk_sizes,
)
from inscene.quality.registry import Metric

if TYPE_CHECKING:
    import pandas as pd

EXACT_CLUSTERS = 12
"""Up to it every combination of signs is counted; beyond, 10,000 are drawn."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Comparison:
    """One metric, on the samples on which both have a value."""

    samples: int
    clusters: int
    difference: float
    """Mean of the method minus its partner's."""
    interval: Interval | None
    win_rate: float
    """Share of the samples on which the method is better at displayed precision, 0..1."""
    p: float
    """Two-sided sign-flip test over the clusters."""
    p_holm: float
    """Corrected for all metrics of the pair."""

    @property
    def significant(self) -> bool:
        return self.p_holm < SIGNIFICANT


def compare(
    method: pd.DataFrame, partner: pd.DataFrame, metrics: Sequence[Metric]
) -> dict[str, Comparison]:
    """By metric, those of images that have common samples. The frames have the columns
    ``sample_id``, ``version``, ``metric``, ``value`` and ``cluster``."""
    keys = ["sample_id", "version", "metric"]
    both = method[[*keys, "value", "cluster"]].merge(
        partner[[*keys, "value"]], on=keys, suffixes=("", "_partner")
    )
    both = both[both["value"].notna() & both["value_partner"].notna()]
    both = both.assign(difference=both["value"] - both["value_partner"])
    present = [metric for metric in metrics if metric.of == "image" and
               (both["metric"] == metric.key).any()]  # fmt: skip
    if not present:
        return {}
    order = [metric.key for metric in present]
    grouped = both.groupby(["cluster", "metric"])["difference"].agg(["sum", "count"])
    sums = grouped["sum"].unstack(fill_value=0)[order].to_numpy(dtype=np.float64)
    counts = grouped["count"].unstack(fill_value=0)[order].to_numpy(dtype=np.float64)
    ps = sign_flip_p(sums)
    found = {}
    for column, (metric, interval) in enumerate(
        zip(present, bootstrap_means(sums, counts), strict=True)
    ):
        rows = both[both["metric"] == metric.key]
        found[metric.key] = Comparison(
            samples=len(rows),
            clusters=int((counts[:, column] > 0).sum()),
            difference=float(rows["difference"].mean()),
            interval=interval,
            win_rate=_win_rate(rows, metric),
            p=ps[column],
            p_holm=1.0,
        )
    corrected = holm([found[key].p for key in order])
    return {key: replace(found[key], p_holm=p) for key, p in zip(order, corrected, strict=True)}


def _win_rate(rows: pd.DataFrame, metric: Metric) -> float:
    gain = rows["value"].round(metric.decimals) - rows["value_partner"].round(metric.decimals)
    gain = gain if metric.higher_is_better else -gain
    return float((gain > 0).mean())


def sign_flip_p(sums: Floats) -> list[float]:
    """Two-sided p of each column of cluster sums (clusters × columns): how often random signs of
    the clusters give a total as far from zero."""
    clusters = len(sums)
    # What differs in the last bits only is as far.
    reach = np.abs(sums.sum(axis=0)) - 1e-12 * np.abs(sums).sum(axis=0)
    if clusters <= EXACT_CLUSTERS:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=clusters)))
        return [float(share) for share in (np.abs(signs @ sums) >= reach).mean(axis=0)]
    rng = np.random.default_rng(SEED)
    as_far, flips = np.zeros(sums.shape[1]), 0
    for size in chunk_sizes():
        signs = rng.integers(0, 2, (size, clusters)) * 2.0 - 1.0
        as_far += (np.abs(signs @ sums) >= reach).sum(axis=0)
        flips += size
    # The observed signs are one of the flips: no p is zero.
    return [float(p) for p in (as_far + 1) / (flips + 1)]


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the given order."""
    corrected = [0.0] * len(ps)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        largest = max(largest, min(1.0, ps[position] * (len(ps) - rank)))
        corrected[position] = largest
    return corrected
