"""The pictures of a page: small JPEGs of some samples, kept and dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inscene import images
from inscene.dataset.inspect import Table
from inscene.errors import SampleError
from inscene.inspection.words import plain
from inscene.schema import KINDS

SIDE_PX = 448
"""Longer side of a picture: enough to judge a scene, 20 to 50 kB."""

_SHOWN = (
    "sample_id", "version", "identity", "face_bbox", "scores", "prompt", "split", "width", "height",
    "method", "metric", "value", "licence", "camera", "identity_score", "tags", "operator_id",
)  # fmt: skip


_LABELS = {"lq": "LQ", "hq": "HQ", "lq_face": "LQ", "hq_face": "HQ", "gt_face": "GT"}


@dataclass(frozen=True)
class Shot:
    """One image of a sample."""

    label: str
    """Empty where a sample has one image."""
    jpeg: bytes
    width: int
    height: int
    """px, of the JPEG."""
    box: tuple[float, float, float, float] | None = None
    """The face: left, top, width, height as shares of the image."""


@dataclass(frozen=True)
class Picture:
    """A sample on a contact sheet."""

    sample_id: str
    shots: tuple[Shot, ...]
    scores: Mapping[str, float]
    facts: tuple[tuple[str, str], ...]
    missing: str = ""
    """Why there is no image."""


def kept_pictures(table: Table, positions: Sequence[int]) -> Iterator[Picture]:
    """The rows at these positions, in order."""
    columns = image_columns(table)
    if not columns:
        return
    for row in table.rows_at(positions, (*_SHOWN, *columns)):
        yield _picture(row, columns)


def image_columns(table: Table) -> tuple[str, ...]:
    return KINDS[table.kind].image_columns


def _picture(row: Mapping[str, Any], columns: Sequence[str]) -> Picture:
    shots, missing = [], ""
    for column in columns:
        data = (row.get(column) or {}).get("bytes")
        if not data:
            missing = "the row has no image bytes"
            continue
        try:
            decoded = images.decode(data).pixels
        except SampleError as error:
            missing = f"{error.reason}: {error.detail}" if error.detail else error.reason
            continue
        label = _LABELS.get(column, plain(column)) if len(columns) > 1 else ""
        # The LQ of a pair is small: shown at the size of its HQ it would look worse than it is.
        box = row.get("face_bbox") if column in ("image", "hq") else None
        shots.append(_shot(label, decoded, box))
    return Picture(
        sample_id=str(row.get("sample_id", "")),
        shots=tuple(shots),
        scores=_scores(row),
        facts=tuple(_facts(row)),
        missing="" if shots else missing,
    )


def _shot(label: str, pixels: Any, box: Sequence[float] | None) -> Shot:
    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE_PX / max(height, width))
    share = None
    if box is not None and len(box) == 4:
        left, right = (min(max(value / width, 0.0), 1.0) for value in (box[0], box[2]))
        top, bottom = (min(max(value / height, 0.0), 1.0) for value in (box[1], box[3]))
        share = (left, top, right - left, bottom - top)
    jpeg = images.thumbnail(pixels, SIDE_PX)
    return Shot(label, jpeg, max(1, round(width * scale)), max(1, round(height * scale)), share)


def _scores(row: Mapping[str, Any]) -> dict[str, float]:
    scores = row.get("scores")
    found = dict(scores) if isinstance(scores, Mapping) else {}
    return {name: float(value) for name, value in found.items() if value is not None}


def _facts(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if row.get("width") and row.get("height"):
        yield "size", f"{row['width']}×{row['height']} px"
    for name in ("version", "split", "identity", "method", "licence", "prompt"):
        if row.get(name) not in (None, ""):
            yield name, str(row[name])
    camera = row.get("camera")
    if isinstance(camera, Mapping):
        said = [str(camera[name]) for name in ("make", "model") if camera.get(name)]
        if camera.get("iso"):
            said.append(f"ISO {camera['iso']}")
        if said:
            yield "camera", " ".join(said)
    if row.get("tags"):
        yield "tags", ", ".join(map(str, row["tags"]))


def stored_thumbnail(row: Mapping[str, Any]) -> Picture:
    """A row of the drops table: its picture is a thumbnail already, where there were pixels."""
    data = (row.get("thumbnail") or {}).get("bytes")
    shots: tuple[Shot, ...] = ()
    missing = "" if data else "no pixels were read by then"
    if data:
        try:
            pixels = images.decode(data).pixels
            # Encoded anew: a page takes no bytes over from a file, whatever they hold.
            shots = (_shot("", pixels, None),)
        except SampleError as error:
            missing = f"its thumbnail cannot be shown: {error.reason}"
    facts = [("why", str(row["detail"]))] if row.get("detail") else []
    if row.get("identity"):
        facts.append(("identity", str(row["identity"])))
    return Picture(str(row["sample_id"]), shots, _scores(row), tuple(facts), missing)
