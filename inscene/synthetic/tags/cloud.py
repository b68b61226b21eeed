"""How often each tag occurs in a dataset: as a table, and as a cloud of words."""

from __future__ import annotations

import csv
import importlib
import io
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inscene import images
from inscene.dataset.inspect import Table
from inscene.errors import MachineError, UsageError

CSV_NAME = "tags.csv"
WIDTH_PX, HEIGHT_PX, MOST_WORDS = 1600, 900, 200
SEED = 0
"""Of the places and colours of the words: the same dataset gives the same picture."""


@dataclass(frozen=True)
class TagCounts:
    images: int
    """With a list of tags, be it empty."""
    untagged: int
    """Images without one: no tagger has been there, or it had nothing to go by."""
    counts: dict[str, int]
    """Tag -> images that have it, the most frequent first; each image counts once."""


def count_tags(rows: Iterable[Mapping[str, Any]]) -> TagCounts:
    """Over rows with a column ``tags``. Upper and lower case are one."""
    images = untagged = 0
    counts = Counter[str]()
    for row in rows:
        if row.get("tags") is None:
            untagged += 1
            continue
        images += 1
        counts.update({tag.strip().lower() for tag in row["tags"] if tag and tag.strip()})
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return TagCounts(images, untagged, dict(ordered))


def write_cloud(table: Table, out: Path, stop: Collection[str] = ()) -> TagCounts:
    """Write ``tags.csv`` beside ``out``, then the cloud, without the tags in ``stop``, as a PNG.

    Raises :class:`UsageError` where the dataset is not of scenes or has no tags, where ``stop``
    leaves none, and for an ``out`` that does not end with ``.png``; ``MachineError`` without the
    package wordcloud, when the table is written.
    """
    if out.suffix.lower() != ".png":
        raise UsageError("a cloud is a PNG file", where=str(out), next_step="Name it NAME.png.")
    if table.kind != "scenes":
        raise UsageError(f"holds {table.kind}, and no scenes", where=table.location)
    found = count_tags(table.rows(("sample_id", "tags")))
    if not found.counts:
        raise UsageError(
            "has no tags", where=table.location, next_step="Use a recipe with the step tag."
        )
    left_out = {word.strip().lower() for word in stop}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_name(CSV_NAME).write_text(as_csv(found, left_out), encoding="utf-8", newline="")
    shown = {tag: count for tag, count in found.counts.items() if tag not in left_out}
    if not shown:
        raise UsageError("every tag is to be left out of the cloud", where=table.location)
    out.write_bytes(draw(shown, out))
    return found


def as_csv(found: TagCounts, left_out: Collection[str] = ()) -> str:
    """All tags, also those that are left out of the cloud."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("tag", "images", "share", "in_cloud"))
    for tag, count in found.counts.items():
        writer.writerow((tag, count, f"{count / found.images:.6f}", int(tag not in left_out)))
    return text.getvalue()


def draw(counts: Mapping[str, int], out: Path) -> bytes:
    """A PNG of the most frequent words, each as large as it is frequent."""
    try:
        wordcloud: Any = importlib.import_module("wordcloud")
    except ImportError as error:
        raise MachineError(
            f"a cloud needs the package wordcloud; {CSV_NAME} is written",
            where=str(out),
            why=f"{error}.",
            next_step="Run: pip install wordcloud",
        ) from error
    cloud = wordcloud.WordCloud(
        width=WIDTH_PX,
        height=HEIGHT_PX,
        max_words=MOST_WORDS,
        background_color="white",
        random_state=SEED,
    )
    picture = cloud.generate_from_frequencies(dict(counts)).to_array()
    return images.encode_png(np.ascontiguousarray(picture))
