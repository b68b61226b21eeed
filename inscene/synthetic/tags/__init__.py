"""What is to be seen in a scene, in words: by RAM++, by CLIP, or from the prompt's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

ByteImage = NDArray[np.uint8]
"""(H, W, 3), 8-bit sRGB."""


@dataclass(frozen=True)
class Tag:
    name: str
    score: float
    """0..1; what it means depends on the tagger."""


class Tagger(Protocol):
    """Looks at images. Not for several threads at once."""

    def tag(self, images: Sequence[ByteImage]) -> list[list[Tag]]:
        """The tags of each image, the surest first."""
        ...


def best_first(tags: Iterable[Tag]) -> list[Tag]:
    """By falling score, each name once; equal scores keep their order."""
    found: dict[str, Tag] = {}
    for tag in sorted(tags, key=lambda tag: -tag.score):
        found.setdefault(tag.name, tag)
    return list(found.values())
