"""A face as it was degraded, beside the clean and the restored one."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inscene import images
from inscene.dataset.row_reader import RowReader
from inscene.dataset.sources import read_inputs
from inscene.degrade.apply import degrade
from inscene.degrade.operator import Operator
from inscene.errors import SampleError
from inscene.faces.align import Box, ByteImage
from inscene.faces.columns import stored_points
from inscene.faces.face import Points
from inscene.faces.templates import FFHQ_512
from inscene.restore.pairing import FacePlace, at_scene_size, round_trip
from inscene.seeds import Draws
from inscene.training.fadex.recipe import DataChoices
from inscene.training.fadex.samples import IMAGES, Kind, Sample


@dataclass(frozen=True, eq=False)
class Face:
    """One place of a scene. uint8 height × width × 3 RGB, all of one size."""

    lq: ByteImage
    gt: ByteImage
    restored: ByteImage | None
    """By a face restorer; None where none was at work."""
    landmarks5: Points
    """In px of the face. Of a stand-in, where a face that filled it would have them."""
    resampled: ByteImage | None = None
    """The clean face aligned and brought back, where it is stored; else it is made when needed."""

    def hq(self, choices: DataChoices, draws: Draws, name: str) -> ByteImage:
        """What FaDeX sees beside the LQ, as ``name`` (a view) has drawn it."""
        if self.restored is not None and not draws.coin(f"{name}.gt", choices.gt_probability):
            return self.restored
        if not draws.coin(f"{name}.round_trip", choices.round_trip_probability):
            return self.gt
        if self.resampled is not None:
            return self.resampled
        return round_trip(self.gt, self.landmarks5)


class FaceReader:
    """Reads and degrades; the same face for the same arguments, in whatever process and order. It
    keeps decoded images, and pickles without them."""

    def __init__(self, kind: Kind, choices: DataChoices) -> None:
        self.kind, self._choices = kind, choices
        self._rows = RowReader()
        self._kept: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._kept_bytes = 0

    def __getstate__(self) -> tuple[Kind, DataChoices]:
        return self.kind, self._choices

    def __setstate__(self, state: tuple[Kind, DataChoices]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def stored(self, sample: Sample, draws: Draws) -> Face:
        """The face of a row that has its LQ. Raises :class:`SampleError`."""
        row = self._row(sample)
        if self.kind == "pairs":
            gt = row["hq"]
            lq = at_scene_size(row["lq"], _size(gt), self._choices.enlarge)
            box, points = self._place(gt, row["landmarks5"], draws)
            return Face(box.crop(lq), box.crop(gt), None, points)
        lq, gt, hq = row["lq_face"], row["gt_face"], row["hq_face"]
        if not lq.shape == gt.shape == hq.shape:
            raise SampleError("face_pair_of_two_sizes", f"{lq.shape}, {gt.shape}, {hq.shape}")
        points, box = row["landmarks5"], row["box"]
        points = _stand_in_points(gt, draws) if points is None or not box else points - box[:2]
        if row["hq_source"] == "gt":
            return Face(lq, gt, None, points, resampled=hq)
        return Face(lq, gt, hq, points)

    def clean(self, sample: Sample, draws: Draws) -> Face:
        """The face without an LQ of its own: the clean one stands there. Raises
        :class:`SampleError`."""
        row = self._row(sample)
        if self.kind == "face-pairs":
            gt = row["gt_face"]
            return Face(gt, gt, None, _stand_in_points(gt, draws))
        gt = row["hq" if self.kind == "pairs" else "image"]
        box, points = self._place(gt, row["landmarks5"], draws)
        face = np.ascontiguousarray(box.crop(gt))
        return Face(face, face, None, points)

    def degraded(self, face: Face, operator: Operator, noise_seed: int) -> Face:
        """The clean face under an operator. Only the face is degraded, not its scene: at its rim a
        mirror image is blurred in."""
        lq = degrade(face.gt, operator, noise_seed)
        return replace(face, lq=at_scene_size(lq, _size(face.gt), self._choices.enlarge))

    def _place(self, scene: ByteImage, points: Points | None, draws: Draws) -> tuple[Box, Points]:
        """The face's box; in a scene without one, or with one that cannot be, any square."""
        if points is not None:
            try:
                box = FacePlace.of(points, _size(scene)).box
                return box, points - np.array([box.x0, box.y0])
            except SampleError:
                pass
        height, width = (min(self._choices.crop_px, side) for side in _size(scene))
        y = int(draws.unit("crop.y") * (scene.shape[0] - height + 1))
        x = int(draws.unit("crop.x") * (scene.shape[1] - width + 1))
        box = Box(x, y, x + width, y + height)
        return box, _stand_in_points(box.crop(scene), draws)

    def _row(self, sample: Sample) -> dict[str, Any]:
        key = sample.entry.id
        if (kept := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return kept
        names = IMAGES[self.kind]
        ((_, columns),) = read_inputs([sample.entry], names, self._rows)
        if isinstance(columns, SampleError):
            raise columns
        row: dict[str, Any] = {name: images.decode(columns[name]["bytes"]).pixels for name in names}
        self._kept_bytes += sum(one.nbytes for one in row.values())
        row["landmarks5"] = stored_points(columns)
        row["box"], row["hq_source"] = columns.get("box"), columns.get("hq_source")
        self._kept[key] = row
        while self._kept_bytes > self._choices.cache_mb * 2**20:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= sum(oldest[name].nbytes for name in names)
        return row


def _stand_in_points(face: ByteImage, draws: Draws) -> Points:
    """As if an aligned face, turned by up to 20° [chosen], filled the square: what a round trip
    then does to it is what it does to faces."""
    height, width = _size(face)
    angle = np.deg2rad(draws.uniform("stand_in.angle", -20.0, 20.0))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    # Large enough for the turned template to cover the square.
    scale = max(height, width) * (abs(turn[0, 0]) + abs(turn[0, 1])) / FFHQ_512.size_px
    middle = np.array([width / 2, height / 2])
    centred = FFHQ_512.landmarks5 - FFHQ_512.size_px / 2
    return np.asarray(centred @ turn * scale + middle)


def _size(image: ByteImage) -> tuple[int, int]:
    return image.shape[0], image.shape[1]
