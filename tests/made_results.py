"""Results as ``load_results`` gives them, made of numbers: no image is scored for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from inscene.bench.results import Results

MEANS = {"dists": 0.12, "psnr": 23.5, "ssim": 0.59, "musiq": 71.0}
SPREADS = {"dists": 0.03, "psnr": 2.0, "ssim": 0.1, "musiq": 4.0}


def made_results(
    method: str,
    *,
    suite: str = "scenes",
    people: int = 30,
    each: int = 4,
    better: float = 0.0,
    seed: int = 0,
    noise: float = 0.05,
    metrics: Sequence[str] = tuple(MEANS),
    seconds: float = 0.5,
    unavailable: Mapping[str, dict[str, str]] | None = None,
    weights: Mapping[str, str] | None = None,
    failures: Mapping[str, int] | None = None,
) -> Results:
    """Samples resemble each other within a person. ``better``: in spreads, in the direction of each
    metric; samples and persons are the same for every method, ``noise`` is its own."""
    rng, own = np.random.default_rng(7), np.random.default_rng([seed, *method.encode()])
    rows: list[dict[str, Any]] = []
    for person in range(people):
        character = rng.normal()
        for number in range(each):
            level = character + rng.normal() * 0.3
            for metric in metrics:
                sign = -1 if metric == "dists" else 1
                score = MEANS[metric] + SPREADS[metric] * (
                    level + sign * better + own.normal() * noise
                )
                rows.append(_row(f"p{person}/{number}", f"person {person:02}", metric, score))
    frame = pd.DataFrame(rows)
    frame["restore_s"] = seconds
    frame["features"] = None
    failed = sorted(set(frame["sample_id"]))[: sum((failures or {}).values())]
    frame = frame[~frame["sample_id"].isin(failed)].reset_index(drop=True)
    for key in unavailable or {}:
        missing = frame.drop_duplicates(["sample_id", "version"])
        frame = pd.concat(
            [frame, missing.assign(metric=key, value=np.nan, status="weights_missing")],
            ignore_index=True,
        )
    return Results(
        suite=suite,
        method=method,
        samples=people * each,
        frame=frame,
        failures=dict(failures or {}),
        facts=made_facts(suite, method, metrics, weights or {}),
        location=f"made/{suite}--{method}",
        dataset="made",
        unavailable=dict(unavailable or {}),
    )


def _row(sample: str, person: str, metric: str, value: float) -> dict[str, Any]:
    return {
        "sample_id": f"{sample}.png",
        "version": 0,
        "identity": person,
        "metric": metric,
        "value": float(value),
        "status": "ok",
    }


def made_facts(
    suite: str, method: str, metrics: Sequence[str], weights: Mapping[str, str]
) -> dict[str, Any]:
    facts = {
        key: {"packages": {}, "weights": {key: {"w.pth": weights[key]}} if key in weights else {}}
        for key in metrics
    }
    return {
        "scores-1": {
            "name": "bench-score",
            "steps": [
                {"step": "take_output", "version": 1, "method": method},
                {"step": "view", "version": 1, "of": "scene"},
                {"step": "score", "version": 1, "suite": suite, "metrics": facts},
            ],
        }
    }


def with_features(results: Results, shift: float, features: int = 8) -> Results:
    """The same samples, with vectors for FID; ``shift`` from those of the clean images."""
    from dataclasses import replace

    samples = results.frame.drop_duplicates(["sample_id", "version"]).reset_index(drop=True)
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(len(samples), features)) + shift
    rows = samples.assign(
        metric="fid", value=np.nan, status="ok", features=[v.astype(np.float32) for v in vectors]
    )
    frame = rows if results.method == "reference" else pd.concat([results.frame, rows])
    return replace(results, frame=frame.reset_index(drop=True))
