"""Faces as a dataset stores them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from inscene.faces.face import Face, Points

FOUND = "faces_found"
"""Key of a row's columns, of no table: all faces of the scene, for the steps after detection."""


def stored_face(columns: Mapping[str, Any]) -> Face | None:
    """The face that the columns have, with its landmarks; None where they have none.

    Raises ``ValueError`` for one that cannot be: four numbers, ten, and finite are needed.
    """
    box, points = columns.get("face_bbox"), columns.get("landmarks5")
    if box is None or points is None:
        return None
    score = columns.get("face_score")
    try:
        x0, y0, x1, y1 = (float(value) for value in box)
        flat = np.asarray(points, np.float64)
    except TypeError as error:  # a null among the numbers
        raise ValueError(f"{error}") from error
    return Face((x0, y0, x1, y1), 1.0 if score is None else float(score), flat.reshape(-1, 2))


def stored_points(columns: Mapping[str, Any]) -> Points | None:
    """Five landmarks, 5 × 2, that the columns have; None where they have none, or no such."""
    points = columns.get("landmarks5")
    try:
        flat = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        return None
    good = points is not None and flat.size == 10 and bool(np.isfinite(flat).all())
    return flat.reshape(5, 2) if good else None


def store_face(columns: dict[str, Any], face: Face) -> None:
    """Write the face into the columns. Landmarks of another face go."""
    columns["face_bbox"] = list(face.bbox)
    columns["face_score"] = face.score
    columns["landmarks5"] = as_column(face.landmarks5)
    columns.pop("landmarks68", None)


def as_column(points: Points) -> list[float]:
    """x0, y0, x1, y1 …"""
    flat: list[float] = points.ravel().tolist()
    return flat
