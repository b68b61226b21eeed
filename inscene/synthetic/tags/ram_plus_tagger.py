"""RAM++ at work: images in, tags out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from inscene.synthetic.tags import ByteImage, Tag, best_first
from inscene.synthetic.tags.ram_plus import RamPlus
from inscene.weights.model_files import check_exists, not_a_model

# Of ImageNet, in 0..1 [recognize-anything, ram/transform.py].
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Labels:
    names: tuple[str, ...]
    thresholds: tuple[float, ...]
    """A tag is given where its score is larger."""


def read_labels(names: Path, thresholds: Path, classes: int) -> Labels:
    """The two lists of RAM++: one class a line. Raises ``MachineError`` for files that are not
    there, of another length, or without a number from 0 to 1 in each line of ``thresholds``."""
    lines = [_lines(path, classes) for path in (names, thresholds)]
    values = []
    for number, line in enumerate(lines[1], start=1):
        try:
            value = float(line)
        except ValueError:
            value = -1
        if not 0 <= value <= 1:
            why = f"Line {number} is {line!r}: no number from 0 to 1."
            raise not_a_model(thresholds, "RAM++'s list of thresholds", why)
        values.append(value)
    return Labels(tuple(line.strip() for line in lines[0]), tuple(values))


def _lines(path: Path, count: int) -> list[str]:
    what = "a list of RAM++'s classes"
    check_exists(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise not_a_model(path, what, "It is no text in UTF-8.") from error
    if len(lines) != count or not all(line.strip() for line in lines):
        filled = sum(bool(line.strip()) for line in lines)
        raise not_a_model(path, what, f"It has {filled} lines with text, not {count}.")
    return lines


class RamPlusTagger:
    """Not for several threads at once."""

    def __init__(
        self, network: RamPlus, labels: Labels, *, min_score: float | None = None, batch: int = 1
    ) -> None:
        """``network`` is on its device and of its precision. ``min_score`` takes the place of the
        classes' own thresholds."""
        self._network, self._names, self._batch = network, labels.names, batch
        thresholds = torch.tensor(labels.thresholds, dtype=torch.float64)
        self._thresholds = thresholds if min_score is None else torch.full_like(
            thresholds, min_score
        )  # fmt: skip

    def scores(self, images: Sequence[ByteImage]) -> Tensor:
        """B × classes, 0..1, float32 on the CPU."""
        side, place = self._network.config.image_px, self._network.fc.weight.device
        found = [torch.empty(0, len(self._names))]
        with torch.inference_mode():
            for start in range(0, len(images), self._batch):
                batch = [prepare(image, side) for image in images[start : start + self._batch]]
                found.append(self._network(torch.stack(batch).to(place)).sigmoid().cpu())
        return torch.cat(found)

    def tag(self, images: Sequence[ByteImage]) -> list[list[Tag]]:
        return [self._above(scores) for scores in self.scores(images).double()]

    def _above(self, scores: Tensor) -> list[Tag]:
        places = (scores > self._thresholds).nonzero()[:, 0].tolist()
        return best_first(Tag(self._names[place], float(scores[place])) for place in places)


def prepare(image: ByteImage, side: int) -> Tensor:
    """Squeezed into a square as PIL does it, as the authors' transform: 3 × side × side."""
    squeezed = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(squeezed)).permute(2, 0, 1).float() / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
