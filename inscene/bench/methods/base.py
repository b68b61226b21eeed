"""The interface of a restoration method."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inscene.errors import SampleError

Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Sample:
    """What a method may look at: the LQ image and which sample it is; never the clean image."""

    id: str
    version: int
    lq: Image
    size: tuple[int, int]
    """Width and height of the wanted output, px."""
    references: tuple[Image, ...] = ()
    """Other photographs of the person, for methods that restore with them."""


class Method(abc.ABC):
    """A restoration method. Made cheaply: what is slow is loaded at the first sample."""

    name: str

    @abc.abstractmethod
    def restore(self, sample: Sample) -> Image:
        """(height, width, 3) 8-bit sRGB. Raises :class:`SampleError` where it has no output."""

    def restore_many(self, samples: Sequence[Sample]) -> list[Image | SampleError]:
        """One result for each sample, in order; a sample that fails, fails alone."""
        return [self._one(sample) for sample in samples]

    def _one(self, sample: Sample) -> Image | SampleError:
        try:
            return self.restore(sample)
        except SampleError as error:
            return error

    @abc.abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """All that decides the output, as JSON values."""

    def missing(self) -> list[str]:
        """What this machine lacks to run it, a sentence each; nothing is run to find out."""
        return []

    def facts(self) -> dict[str, str]:
        """What would be run and under which licence, for people."""
        return {}
