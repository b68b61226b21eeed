"""Detectors by name, with their weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from inscene.doctor.machine import version_of
from inscene.errors import RecipeError
from inscene.faces.detectors import FaceDetector
from inscene.suggest import did_you_mean
from inscene.threads import model_threads
from inscene.weights.locate import find_file, hash_of

DetectorName = Literal["mtcnn", "yolov8-face", "scrfd", "metadata"]


@dataclass(frozen=True)
class DetectorChoice:
    """Which detector, and how it looks. None is the detector's own default."""

    name: DetectorName = "mtcnn"
    weights: str | None = None
    """Name in ``manifests/weights.yaml``."""
    min_score: float | None = None
    sizes_px: tuple[int, ...] | None = None
    """Scales that it looks at; larger ones find smaller faces."""

    def __post_init__(self) -> None:
        known = _KNOWN[self.name]
        for option in ("weights", "min_score", "sizes_px"):
            if getattr(self, option) is not None and option not in known.options:
                raise RecipeError(f"the detector {self.name} takes no {option}")

        if self.weights is not None and self.weights not in known.weights_known:
            raise RecipeError(
                f"the detector {self.name} has no weights {self.weights!r}",
                next_step=did_you_mean(self.weights, known.weights_known),
            )

    def open(self) -> FaceDetector:
        """Load it, once a process however many steps ask for it. Raises ``MachineError`` for
        weights or packages that are not here."""
        return _opened(self, self._weight_hash)

    @property
    def needs_weights(self) -> tuple[str, ...]:
        """By their names in ``manifests/weights.yaml``; none where its package brings them."""
        return (self.place[0],) if _KNOWN[self.name].weights is not None else ()

    @property
    def _weight_hash(self) -> str | None:
        return hash_of(*self.place) if _KNOWN[self.name].weights is not None else None

    def fingerprint(self) -> dict[str, Any]:
        """All that decides what it finds. Raises ``MissingWeightError``."""
        known = _KNOWN[self.name]
        facts = asdict(self)
        facts["weights"] = self._weight_hash
        if known.package is not None:
            facts["package"] = version_of(known.package)
        return facts

    @property
    def place(self) -> tuple[str, str | None]:
        """Weight and file."""
        default, file = _KNOWN[self.name].weights or ("", None)
        return (self.weights, _FILES.get(self.weights)) if self.weights else (default, file)

    @property
    def _limits(self) -> dict[str, Any]:
        given = {"min_score": self.min_score, "sizes_px": self.sizes_px}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class _Known:
    open: Callable[[DetectorChoice], FaceDetector]
    weights: tuple[str, str | None] | None = None
    weights_known: tuple[str, ...] = ()
    package: str | None = None
    options: tuple[str, ...] = ()


def _mtcnn(choice: DetectorChoice) -> FaceDetector:
    from inscene.faces.detectors.mtcnn import Mtcnn

    return Mtcnn(**choice._limits)


def _yolov8_face(choice: DetectorChoice) -> FaceDetector:
    from inscene.faces.detectors.yolov8_face import Yolov8Face

    return Yolov8Face(find_file(*choice.place), threads=model_threads(), **choice._limits)


def _scrfd(choice: DetectorChoice) -> FaceDetector:
    from inscene.faces.detectors.scrfd import Scrfd

    return Scrfd(find_file(*choice.place), threads=model_threads(), **choice._limits)


def _metadata(choice: DetectorChoice) -> FaceDetector:
    from inscene.faces.detectors.metadata import Metadata

    return Metadata()


@functools.lru_cache(maxsize=4)
def _opened(choice: DetectorChoice, weight_hash: str | None) -> FaceDetector:
    return _KNOWN[choice.name].open(choice)


_ALL = ("weights", "min_score", "sizes_px")
_FILES = {"buffalo_l": "det_10g.onnx", "antelopev2": "scrfd_10g_bnkps.onnx"}
_YOLO = ("yolov8n-face", "yolov8m-face")
_KNOWN: dict[DetectorName, _Known] = {
    "mtcnn": _Known(_mtcnn, package="facenet-pytorch", options=("min_score",)),
    "yolov8-face": _Known(_yolov8_face, ("yolov8n-face", None), _YOLO, "ultralytics", _ALL),
    "scrfd": _Known(_scrfd, ("buffalo_l", _FILES["buffalo_l"]), tuple(_FILES), "insightface", _ALL),
    "metadata": _Known(_metadata),
}
