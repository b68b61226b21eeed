"""Face boxes and landmarks as other people write them down, to the form that our tables have.

Boxes: four numbers, a dictionary of four, or either as JSON; as corners or as corner and size.
Landmarks: nested pairs, flat numbers, ``{x: [...], y: [...]}``, a list of ``{x, y}``, a dictionary
of pairs (numbered, or the five by name); any of them as JSON. Of triples the third number is left
out: a depth, or a confidence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

BoxForm = Literal["xyxy", "xywh"]
Point = tuple[float, float]

COUNTS = {5: "landmarks5", 68: "landmarks68"}
"""How many points -> the column that holds them."""

_FIVE = (
    ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right"),
    ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth"),
)
_CORNERS = (
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)
_SIZES = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
)


def points_of(value: Any) -> list[Point]:
    """The points in the value's order. Raises :class:`ValueError` for what holds none."""
    value = _plain(value)
    if isinstance(value, Mapping):
        value = _of_dictionary(value)
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError("no points")
    if all(isinstance(one, Mapping) for one in value):
        value = [(one.get("x"), one.get("y")) for one in value]
    if all(_is_number(one) for one in value):
        if len(value) % 2:
            raise ValueError(f"{len(value)} numbers are no pairs")
        value = list(zip(value[::2], value[1::2], strict=True))
    points = []
    for one in value:
        if not isinstance(one, Sequence) or len(one) not in (2, 3):
            raise ValueError(f"{one!r:.40} is no point")
        points.append((_number(one[0]), _number(one[1])))
    return points


def _of_dictionary(value: Mapping[Any, Any]) -> Any:
    named = {str(key): inner for key, inner in value.items()}
    if {"x", "y"} <= named.keys():
        return list(zip(named["x"], named["y"], strict=True))
    for order in _FIVE:
        if set(order) <= named.keys():
            return [named[name] for name in order]
    for key in ("points", "landmarks", "keypoints"):
        if key in named:
            return named[key]
    if named and all(key.isdecimal() for key in named):
        return [named[key] for key in sorted(named, key=int)]
    raise ValueError(f"a dictionary of {', '.join(sorted(named)[:5])}")


def numbers_of(points: Iterable[Point]) -> list[float]:
    """x, y, x, y, ...: the form of our columns."""
    return [number for point in points for number in point]


def corners_of(value: Any, form: BoxForm | None) -> list[float]:
    """x0, y0, x1, y1. ``form`` is that of four plain numbers: a dictionary has its own. Raises
    :class:`ValueError` for what is no box."""
    numbers, own = box_numbers(value)
    form = own or form
    if form is None:
        raise ValueError("four numbers, of which nothing says what they are")
    x, y, right, bottom = numbers
    if form == "xywh":
        right, bottom = x + right, y + bottom
    if not (right > x and bottom > y):
        raise ValueError(f"{numbers} is no box as {form}")
    return [x, y, right, bottom]


def box_numbers(value: Any) -> tuple[list[float], BoxForm | None]:
    """Four numbers, and what they are where the value itself says so."""
    value = _plain(value)
    if isinstance(value, Mapping):
        forms: tuple[tuple[BoxForm, tuple[tuple[str, ...], ...]], ...]
        forms = (("xyxy", _CORNERS), ("xywh", _SIZES))
        for form, orders in forms:
            for order in orders:
                if set(order) <= value.keys():
                    return [_number(value[name]) for name in order], form
        raise ValueError(f"a dictionary of {', '.join(sorted(map(str, value))[:5])}")
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 1:
        return box_numbers(value[0])  # of the one face
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) not in (4, 5):
        raise ValueError(f"{value!r:.40} is no box")
    return [_number(one) for one in value[:4]], None  # a fifth is the detector's confidence


_SLACK = 0.15
"""Of the landmarks' extent: chins leave a detector's box."""
_INSIDE = 0.9
"""Share of the landmarks."""
_MAJORITY = 0.8
"""Share of the rows that say something."""
_ENOUGH = 0.2
"""Share of all rows with a box: one slip of the pen must not decide for the rest."""


class BoxEvidence:
    """Gathers from rows whether their four numbers are corners, or a corner and a size.

    Read as corner and size, a box of corners only grows, and holds the face all the more. So the
    corners are believed where the landmarks lie inside them, and the other where only that holds
    them. Numbers that cannot be one of the two prove the other.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._votes: dict[BoxForm, int] = {"xyxy": 0, "xywh": 0}

    def add(self, box: Any, points: Any, width: Any = None, height: Any = None) -> None:
        """What of it cannot be read says nothing."""
        try:
            (x, y, third, fourth), own = box_numbers(box)
        except ValueError:
            return
        if own is not None:
            return
        if third <= 0 or fourth <= 0:
            return  # 0, 0, 0, 0 and the like: no face
        self.rows += 1
        if third <= x or fourth <= y:
            self._votes["xywh"] += 1
            return
        if _is_number(width) and _is_number(height) and (x + third > width or y + fourth > height):
            self._votes["xyxy"] += 1
            return
        try:
            found = points_of(points)
        except ValueError:
            return
        if _share_inside(found, (x, y, third, fourth)) >= _INSIDE:
            self._votes["xyxy"] += 1
        elif _share_inside(found, (x, y, x + third, y + fourth)) >= _INSIDE:
            self._votes["xywh"] += 1

    def decision(self) -> BoxForm | None:
        """None where there is no telling."""
        best: BoxForm = "xyxy" if self._votes["xyxy"] >= self._votes["xywh"] else "xywh"
        count, said = self._votes[best], sum(self._votes.values())
        enough = count > 0 and count >= _MAJORITY * said and count >= _ENOUGH * self.rows
        return best if enough else None


def _share_inside(points: Sequence[Point], box: Sequence[float]) -> float:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    slack = _SLACK * max(max(xs) - min(xs), max(ys) - min(ys))
    x0, y0, x1, y1 = box[0] - slack, box[1] - slack, box[2] + slack, box[3] + slack
    return sum(x0 <= x <= x1 and y0 <= y <= y1 for x, y in points) / len(points)


def _plain(value: Any) -> Any:
    """JSON read, arrays as lists."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{value!r:.40} is no JSON") from error
    return value.tolist() if hasattr(value, "tolist") else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float:
    if not _is_number(value) or not math.isfinite(value):
        raise ValueError(f"{value!r:.40} is no number")
    return float(value)
