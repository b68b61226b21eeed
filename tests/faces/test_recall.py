"""How many of the faces that people count on photographs the default detector finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from inscene import images
from inscene.faces.detectors.mtcnn import Mtcnn

pytest.importorskip("facenet_pytorch")

FACES = Path(__file__).parents[2].parent / "shared" / "data" / "faces"
pytestmark = pytest.mark.skipif(not FACES.is_dir(), reason=f"no photographs in {FACES}")

COUNTED = {
    "2007_007763": 7, "2008_001009": 2, "2008_001322": 3, "2008_002079": 6, "2008_002470": 6,
    "2008_002506": 3, "2008_004176": 7, "2008_007676": 7, "2009_004587": 2,
    "Tom_Cruise_avp_2014_4": 1, "dogs": 0,
}  # fmt: skip
"""Faces larger than 15 px on the group photos, counted by eye."""


def found_in(path: Path, detector: Mtcnn) -> int:
    (faces,) = detector.detect([images.decode(path.read_bytes()).pixels])
    return len(faces)


def test_group_photos(record_property) -> None:
    detector = Mtcnn()
    found = {name: found_in(FACES / "group" / f"{name}.jpg", detector) for name in COUNTED}
    report = f"{sum(found.values())} of {sum(COUNTED.values())} faces on {len(COUNTED)} photos"
    record_property("recall", report)
    print(f"mtcnn: {report}")
    assert all(found[name] <= count for name, count in COUNTED.items()), found
    assert sum(found.values()) >= 0.95 * sum(COUNTED.values()), found


def test_portraits(record_property) -> None:
    detector = Mtcnn()
    portraits = sorted((FACES / "identities").rglob("*.jpg"))
    with_one = sum(found_in(path, detector) == 1 for path in portraits)
    report = f"one face on {with_one} of {len(portraits)} portraits"
    record_property("recall", report)
    print(f"mtcnn: {report}")
    assert with_one >= 0.98 * len(portraits)
