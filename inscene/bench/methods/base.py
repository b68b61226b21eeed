"""The interface of a restoration method."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from inscene.errors import SampleError
from inscene.faces.face import Points

if TYPE_CHECKING:
    from inscene.bench.methods.manifest import BuiltinManifest, CommandManifest

Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Sample:
    """What a method may look at: the LQ image, which sample it is and what is known of it."""

    id: str
    version: int
    lq: Image
    size: tuple[int, int]
    """Width and height of the wanted output, px."""
    references: tuple[Image, ...] = ()
    """Other photographs of the person, for methods that restore with them."""
    landmarks5: Points | None = None
    """Of the face, as the dataset has them: px of the wanted output."""
    clean: Image | None = None
    """For methods that say so in ``sees_clean`` and for no others."""


@dataclass(frozen=True, eq=False)
class Output:
    """What a method made of a sample."""

    image: Image
    notes: tuple[str, ...] = ()
    """Stable snake_case words for what a reader of the results must know, such as ``no_face``."""
    stage_s: Mapping[str, float] = field(default_factory=dict)
    """Wall seconds of the method's own stages."""

    def seconds(self, around_s: float) -> float:
        """Of the method, without loading where it knows that; ``around_s`` is what was measured
        from outside."""
        return sum(self.stage_s.values()) if self.stage_s else around_s


class Method(abc.ABC):
    """A restoration method. Made cheaply: what is slow is loaded at the first sample."""

    name: str
    options: ClassVar[frozenset[str]] = frozenset()
    """Parameters that a command may set for one run: see :meth:`with_options`."""
    sees_clean: bool = False
    """Whether it looks at the clean image: an oracle, for studies, and no method to rank."""
    uses_references: bool = False
    """Whether it restores with photographs of the person."""
    manifest: BuiltinManifest | CommandManifest | None = None
    """Where it has one: what it is called, and who may use it for what."""

    @property
    def on_gpu(self) -> bool:
        """Whether a worker should have a GPU of its own for it, where there are any."""
        return False

    def with_options(self, options: Mapping[str, Any]) -> Method:
        """The method with other parameters; those that are not among its ``options`` are not
        meant for it."""
        return self

    @abc.abstractmethod
    def restore(self, sample: Sample) -> Image:
        """(height, width, 3) 8-bit sRGB. Raises :class:`SampleError` where it has no output."""

    def restore_many(self, samples: Sequence[Sample]) -> list[Output | SampleError]:
        """One result for each sample, in order; a sample that fails, fails alone."""
        return [self._one(sample) for sample in samples]

    def _one(self, sample: Sample) -> Output | SampleError:
        try:
            return Output(self.restore(sample))
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

    def remark(self) -> str:
        """What whoever runs it is to know before it begins, in one line; mostly nothing."""
        return ""

    def origin(self) -> dict[str, str]:
        """What a record names beside each output: the model that made it, and its content."""
        return {}
