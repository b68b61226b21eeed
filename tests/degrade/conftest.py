"""Photographs that scikit-image's wheel carries, and operators to apply to them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from skimage import data

from inscene.degrade import Operator, load_profile
from inscene.degrade.arrays import ByteImage
from inscene.seeds import Draws


@pytest.fixture(scope="session")
def photographs() -> dict[str, ByteImage]:
    """RGB, with sides that 4 divides."""
    photographs = {}
    for name in ("astronaut", "coffee", "cat"):
        photo = getattr(data, name)()
        height, width = (side // 4 * 4 for side in photo.shape[:2])
        photographs[name] = np.ascontiguousarray(photo[:height, :width])
    return photographs


@pytest.fixture(scope="session")
def small_photo(photographs: dict[str, ByteImage]) -> ByteImage:
    """160 × 128, with a face in it."""
    return np.ascontiguousarray(photographs["astronaut"][30:190, 160:288])


@pytest.fixture(scope="session")
def draw() -> Callable[..., Operator]:
    """``draw(profile, index, **changes of the profile)``"""

    def draw(profile: str, index: int, **changes: object) -> Operator:
        changed = load_profile(profile).with_changes(**changes)
        return Operator.draw(changed, Draws("tests", profile, index))

    return draw
