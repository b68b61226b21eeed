"""What is asked of a generator, and what any generator can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from inscene.errors import SampleError

ByteImage = npt.NDArray[np.uint8]

WIDTH_PX, HEIGHT_PX = 1024, 1152
"""Of InScene's images [InScene, data_generator.py]; InfiniteYou's own default is 864 × 1152."""
MULTIPLE_PX = 16
"""Of both sides: FLUX sees patches of 2 × 2 latents of 8 px."""


@dataclass(frozen=True, eq=False)
class Request:
    """One image that is wanted; the same request gives the same image."""

    prompt: str
    reference: bytes
    """A file of an image: the person is the largest face in it."""
    seed: int
    """Of all noise of this image, 0 .. 2⁶³ − 1."""
    width: int = WIDTH_PX
    height: int = HEIGHT_PX
    control_image: ByteImage | None = None
    """height × width × 3, as :mod:`~inscene.synthetic.generate.control_image` draws it; None leaves
    the face's place to the prompt."""

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise ValueError("a request needs a prompt")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"a seed is 0 .. 2**63 - 1, got {self.seed}")
        if min(self.width, self.height) <= 0 or self.width % 16 or self.height % 16:
            size = f"{self.width} × {self.height}"
            raise ValueError(f"sides are multiples of {MULTIPLE_PX} px, got {size}")
        control = self.control_image
        if control is not None:
            expected = (self.height, self.width, 3)
            if control.shape != expected or control.dtype != np.uint8:
                raise ValueError(
                    f"a control image is uint8 {expected}, got {control.dtype} {control.shape}"
                )


class Generator(Protocol):
    def prepare(self, requests: Sequence[Request]) -> list[SampleError | None]:
        """Do now all that comes before sampling, for requests that are to follow in any grouping:
        who is meant, and what the prompts say. One entry a request: what makes it impossible
        (``no_face_in_reference``, say), or None.

        Never needed: :meth:`generate` prepares what has not been. It is cheaper for many at once.
        """

    def generate(self, requests: Sequence[Request]) -> list[ByteImage]:
        """One image a request, uint8 RGB, height × width × 3; those of one size are sampled
        together. What an image is does not depend on the others, but for rounding.

        Raises the ``SampleError`` of the first request that is impossible.
        """

    def fingerprint(self) -> dict[str, Any]:
        """All that decides the images beside the requests, as JSON values."""
