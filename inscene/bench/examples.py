"""Samples to look at: LQ, what each method made of it, and the clean image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inscene.bench.outputs import Outputs
from inscene.bench.results import Results
from inscene.dataset.inspect import Table, open_table
from inscene.errors import UsageError

Example = tuple[str, dict[str, bytes]]
"""Title, and PNGs by label: ``LQ``, each method, ``GT``; what is not there is left out."""


def load_examples(results: Sequence[Results], count: int) -> list[Example]:
    """At most ``count`` samples of each suite, evenly spread over those that every method has
    restored. None of a suite whose pairs are no longer where they were."""
    suites = sorted({one.suite for one in results})
    return [
        example
        for suite in suites
        for example in _of_suite([one for one in results if one.suite == suite], count)
    ]


def _of_suite(results: Sequence[Results], count: int) -> list[Example]:
    outputs = {
        one.method: Outputs(f"{one.location}/restored")
        for one in results
        if one.method != "reference"
    }
    dataset = next((one.dataset for one in results if one.dataset), None)
    if dataset is None or not outputs:
        return []
    common = set.intersection(*(set(one.samples()) for one in outputs.values()))
    chosen = _spread(sorted(common), count)
    try:
        table = open_table(dataset)
        wanted = {sample: position for position, sample in _positions(table, set(chosen))}
        rows = table.rows_at(sorted(wanted.values()), ("sample_id", "version", "lq", "hq", "image"))
        found = {(row["sample_id"], row.get("version") or 0): row for row in rows}
    except (UsageError, OSError):
        return []
    examples: list[Example] = []
    for sample_id, version in chosen:
        row = found.get((sample_id, version), {})
        images = {"LQ": (row.get("lq") or row.get("image") or {}).get("bytes")}
        for method, stored in outputs.items():
            images[method] = (stored.find(sample_id, version) or {}).get("image", {}).get("bytes")
        images["GT"] = (row.get("hq") or {}).get("bytes")
        there = {label: data for label, data in images.items() if data}
        examples.append((f"{sample_id}@{version}", there))
    return examples


def _positions(table: Table, wanted: set[tuple[str, int]]) -> Iterator[tuple[int, tuple[str, int]]]:
    for position, row in enumerate(table.rows(("sample_id", "version"))):
        sample = row["sample_id"], row.get("version") or 0
        if sample in wanted:
            yield position, sample


def _spread(samples: list[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    if len(samples) <= count:
        return samples
    return [samples[index * len(samples) // count] for index in range(count)]
