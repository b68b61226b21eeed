"""The detector that looks at no image."""

from __future__ import annotations

import numpy as np
import pytest

from inscene.faces.detectors.metadata import Metadata
from inscene.faces.face import Face

IMAGE = np.zeros((4, 4, 3), np.uint8)
FACE = Face((0, 0, 4, 4), 1, np.arange(10.0).reshape(5, 2))


def test_what_is_stored_is_what_is_found() -> None:
    assert Metadata().detect([IMAGE, IMAGE], [FACE, None]) == [[FACE], []]
    assert Metadata().detect([]) == []


@pytest.mark.parametrize("stored", [(), (FACE, FACE)])
def test_each_image_needs_an_entry(stored: tuple[Face, ...]) -> None:
    with pytest.raises(ValueError, match="1 images, but"):
        Metadata().detect([IMAGE], stored)
