"""A scene as the restorer is trained on it: degraded, clean, and with its face."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from inscene import images
from inscene.dataset.row_reader import RowReader
from inscene.dataset.sources import Input, read_inputs
from inscene.degrade.apply import degrade, enlarge
from inscene.degrade.operator import Operator
from inscene.degrade.profile import Profile, load_profile
from inscene.errors import SampleError
from inscene.faces.align import Box, ByteImage
from inscene.faces.columns import stored_points
from inscene.faces.face import Points
from inscene.restore.pairing import FacePlace, at_scene_size
from inscene.seeds import Draws
from inscene.training.restorer.recipe import DataChoices
from inscene.training.restorer.samples import PairSample, PhotoSample, Sample

FaceFrom = Literal["face-pairs", "landmarks", "stand-in", "none"]


@dataclass(frozen=True, eq=False)
class Scene:
    """All uint8 height × width × 3, RGB."""

    sample_id: str
    version: int
    """Of stored pairs; of a photograph that was degraded on the way, the epoch."""
    small: ByteImage
    """The LQ as it is stored."""
    lq: ByteImage
    """The LQ at the size of ``hq``."""
    hq: ByteImage
    face: tuple[ByteImage, ByteImage] | None
    """LQ and HQ of one place, of one size."""
    face_from: FaceFrom

    def bicubic(self) -> ByteImage:
        """What the restorer is compared with."""
        size = (self.hq.shape[0], self.hq.shape[1])
        return self.small if self.small.shape[:2] == size else enlarge(self.small, size)

    def with_lq(self, lq: ByteImage) -> Scene:
        return replace(self, lq=lq)


class SceneReader:
    """Reads and degrades; the same scene for the same arguments, in whatever process and order.

    It keeps decoded images, as many as ``cache_mb`` holds. It pickles without them.
    """

    def __init__(self, choices: DataChoices) -> None:
        self._choices = choices
        self._profile: Profile | None = None
        self._rows = RowReader()
        self._kept = _Kept(choices.cache_mb * 2**20)

    def __getstate__(self) -> DataChoices:
        return self._choices

    def __setstate__(self, choices: DataChoices) -> None:
        self.__init__(choices)  # type: ignore[misc]

    def read(self, sample: Sample, epoch: int, draws: Draws) -> Scene:
        """Raises :class:`SampleError` for images that cannot be read or do not fit each other."""
        if isinstance(sample, PhotoSample):
            return self._degraded(sample, epoch, draws)
        return self._stored(sample, draws)

    # -- Pairs ----------------------------------------------------------------------------------

    def _stored(self, sample: PairSample, draws: Draws) -> Scene:
        one = sample.versions[draws.seed("version") % len(sample.versions)]
        row = self._row(one.pair, ("lq", "hq"))
        hq, small = row["hq"], row["lq"]
        lq = at_scene_size(small, _size(hq), self._choices.enlarge)
        face, face_from = None, "none"
        if one.face is not None:
            made = self._row(one.face, ("lq_face", "hq_face"))
            if made["operator_id"] != row["operator_id"]:
                raise SampleError("face_pair_of_another_degradation", f"{one.face.file}")
            face = _checked(made["lq_face"], made["hq_face"])
            return Scene(sample.id, one.version, small, lq, hq, face, "face-pairs")
        face, face_from = self._face(lq, hq, row["landmarks5"], draws)
        return Scene(sample.id, one.version, small, lq, hq, face, face_from)

    # -- Photographs ----------------------------------------------------------------------------

    def _degraded(self, sample: PhotoSample, epoch: int, draws: Draws) -> Scene:
        row = self._row(sample.photo, ("image",))
        photo, points = row["image"], row["landmarks5"]
        if self._profile is None:
            self._profile = load_profile(self._choices.profile)
        operator = Operator.draw(self._profile, draws)
        window = self._window(photo, points, operator.sf, draws)
        hq = np.ascontiguousarray(window.crop(photo))
        small = degrade(hq, operator, draws.seed("noise_seed"))
        lq = at_scene_size(small, _size(hq), self._choices.enlarge)
        if points is not None:
            points = points - np.array([window.x0, window.y0])
        face, face_from = self._face(lq, hq, points, draws)
        return Scene(sample.id, epoch, small, lq, hq, face, face_from)

    def _window(self, photo: ByteImage, points: Points | None, sf: int, draws: Draws) -> Box:
        """What is degraded of a photograph: a square of ``scene_px`` anywhere in it, but around
        its face where it has one, and larger where the face is. Sides are multiples of ``sf``, so
        that LQ and HQ cover the same."""
        face = _face_box(photo, points)
        spans = []
        for axis, name in ((1, "x"), (0, "y")):
            length = photo.shape[axis]
            low, high = (0, 0) if face is None else (face[axis], face[axis + 2])
            # Rounded up, for the face to stay whole, as long as the photograph is long enough.
            wanted = -(-max(self._choices.scene_px, high - low) // sf) * sf
            side = min(wanted, length // sf * sf)
            if side < sf:
                raise SampleError("image_too_small", f"{photo.shape[1]}x{photo.shape[0]} px")
            first, last = 0, length - side
            if face is not None:
                first, last = max(first, high - side), min(last, low)
            start = first + int(draws.unit(f"window.{name}") * (max(last - first, 0) + 1))
            spans.append((start, start + side))
        (x0, x1), (y0, y1) = spans
        return Box(x0, y0, x1, y1)

    # -- Both -----------------------------------------------------------------------------------

    def _face(
        self, lq: ByteImage, hq: ByteImage, points: Points | None, draws: Draws
    ) -> tuple[tuple[ByteImage, ByteImage] | None, FaceFrom]:
        """The clean face as every restored one is: aligned and brought back. Or a stand-in."""
        if points is not None:
            try:
                place = FacePlace.of(points, _size(hq))
                pair = place.pair(lq, place.align(hq))
                return (pair.lq, pair.hq), "landmarks"
            except SampleError:
                pass  # landmarks that fit no face in the scene: as if there were none
        choices = self._choices.faces
        if not choices.stand_in:
            return None, "none"
        least, most = choices.stand_in_px
        side = least + int(draws.unit("stand_in.side") * (most - least + 1))
        height, width = (min(side, length) for length in _size(hq))
        y = int(draws.unit("stand_in.y") * (hq.shape[0] - height + 1))
        x = int(draws.unit("stand_in.x") * (hq.shape[1] - width + 1))
        box = Box(x, y, x + width, y + height)
        return (box.crop(lq), box.crop(hq)), "stand-in"

    def _row(self, entry: Input, names: tuple[str, ...]) -> dict[str, Any]:
        """Decoded images, and what else is needed of the row."""
        key = (entry.id, names)
        if (kept := self._kept.get(key)) is not None:
            return kept
        ((_, columns),) = read_inputs([entry], names, self._rows)
        if isinstance(columns, SampleError):
            raise columns
        row: dict[str, Any] = {name: _decoded(columns, name) for name in names}
        row["landmarks5"] = stored_points(columns)
        row["operator_id"] = columns.get("operator_id")
        self._kept.put(key, row)
        return row


class _Kept:
    """The rows that were used last, up to so many bytes of pixels."""

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._rows: OrderedDict[Any, dict[str, Any]] = OrderedDict()

    def get(self, key: Any) -> dict[str, Any] | None:
        if key in self._rows:
            self._rows.move_to_end(key)
        return self._rows.get(key)

    def put(self, key: Any, row: dict[str, Any]) -> None:
        self._rows[key] = row
        self._bytes += _bytes_of(row)
        while self._bytes > self._limit:
            _, oldest = self._rows.popitem(last=False)
            self._bytes -= _bytes_of(oldest)


def _bytes_of(row: Mapping[str, Any]) -> int:
    return sum(one.nbytes for one in row.values() if isinstance(one, np.ndarray))


def _decoded(columns: Mapping[str, Any], name: str) -> ByteImage:
    data = (columns.get(name) or {}).get("bytes")
    if not data:
        raise SampleError("image_bytes_missing", f"the cell {name!r} holds no bytes")
    pixels = images.decode(data).pixels
    pixels.setflags(write=False)  # several scenes are cut from it
    return pixels


def _checked(lq: ByteImage, hq: ByteImage) -> tuple[ByteImage, ByteImage]:
    if lq.shape != hq.shape:
        raise SampleError("face_pair_of_two_sizes", f"{lq.shape[:2]} and {hq.shape[:2]}")
    return lq, hq


def _face_box(photo: ByteImage, points: Points | None) -> tuple[int, int, int, int] | None:
    """(y0, x0, y1, x1)"""
    if points is None:
        return None
    try:
        box = FacePlace.of(points, _size(photo)).box
    except SampleError:
        return None
    return box.y0, box.x0, box.y1, box.x1


def _size(image: ByteImage) -> tuple[int, int]:
    return image.shape[0], image.shape[1]
