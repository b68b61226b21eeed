"""A contact sheet of faces: each scene with its box and landmarks, and the face as aligned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from inscene import images
from inscene.dataset.inspect import Table
from inscene.errors import SampleError, UsageError
from inscene.faces.align import Alignment, ByteImage
from inscene.faces.columns import stored_face
from inscene.faces.face import Face, Points
from inscene.faces.templates import FFHQ_512
from inscene.images.page import Page, Tile

SCENE_PX = 320
"""Longer side of a scene on the sheet; the aligned face beside it has the same height."""
BOX, POINTS5, POINTS68 = (40, 200, 90), (255, 60, 60), (250, 210, 60)
_COLUMNS = (
    "sample_id", "image", "face_bbox", "face_score", "landmarks5", "landmarks68",
    "identity_score",
)  # fmt: skip


def write_face_sheet(table: Table, out: Path, count: int) -> int:
    """Write a PNG of at most ``count`` scenes of a dataset, evenly spread over those with a stored
    face; returns how many are on it.

    Raises :class:`UsageError` where the dataset is not of scenes or has no faces, and for an
    ``out`` that does not end with ``.png``.
    """
    if out.suffix.lower() != ".png":
        raise UsageError("a sheet is a PNG file", where=str(out), next_step="Name it NAME.png.")
    if table.kind != "scenes":
        raise UsageError(f"holds {table.kind}, and no scenes", where=table.location)
    with_face = [
        position
        for position, row in enumerate(table.rows(("face_bbox", "landmarks5")))
        if row.get("face_bbox") and row.get("landmarks5")
    ]
    if not with_face:
        raise UsageError(
            "has no faces with landmarks",
            where=table.location,
            next_step="Use a recipe with the step detect_faces.",
        )
    places = np.unique(np.linspace(0, len(with_face) - 1, min(count, len(with_face))).round())
    chosen = [with_face[int(place)] for place in places]
    tiles = [_tile(row) for row in table.rows_at(chosen, _COLUMNS)]
    head = (
        f"{table.location}: {len(tiles)} of {len(with_face)} faces. Each scene with its box and "
        f"landmarks; beside it the face as aligned to FFHQ's template."
    )
    page = Page(head, tiles, max(tile.image.width for tile in tiles)).draw()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(images.encode_png(page))
    return len(tiles)


def _tile(row: Mapping[str, Any]) -> Tile:
    title = str(row["sample_id"])
    try:
        scene = images.decode(row["image"]["bytes"]).pixels
        face = stored_face(row)
        assert face is not None
        shown = _side_by_side(scene, face, row.get("landmarks68"))
    except (SampleError, ValueError) as error:
        return Tile(Image.new("RGB", (SCENE_PX, 40), (255, 220, 220)), title, f"{error}")
    parts = [f"{scene.shape[1]}x{scene.shape[0]} px", f"face score {face.score:.3f}"]
    if row.get("identity_score") is not None:
        parts.append(f"identity {row['identity_score']:.3f}")
    return Tile(shown, title, " · ".join(parts))


def _side_by_side(scene: ByteImage, face: Face, landmarks68: list[float] | None) -> Image.Image:
    scale = SCENE_PX / max(scene.shape[:2])
    size = max(1, round(scene.shape[1] * scale)), max(1, round(scene.shape[0] * scale))
    left = Image.fromarray(scene).resize(size, Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(left)
    pen.rectangle([value * scale for value in face.bbox], outline=BOX, width=2)
    if landmarks68:
        _dots(pen, np.reshape(landmarks68, (68, 2)) * scale, POINTS68, radius_px=1)
    _dots(pen, face.landmarks5 * scale, POINTS5, radius_px=2)
    aligned = Image.fromarray(Alignment.fit(face.landmarks5, FFHQ_512).align(scene))
    page = Image.new(
        "RGB", (left.width + 4 + SCENE_PX // 2, max(left.height, SCENE_PX // 2)), (250, 250, 250)
    )
    page.paste(left, (0, 0))
    page.paste(aligned.resize((SCENE_PX // 2,) * 2, Image.Resampling.LANCZOS), (left.width + 4, 0))
    return page


def _dots(
    pen: ImageDraw.ImageDraw, points: Points, colour: tuple[int, int, int], radius_px: int
) -> None:
    for x, y in points:
        pen.ellipse([x - radius_px, y - radius_px, x + radius_px, y + radius_px], fill=colour)
