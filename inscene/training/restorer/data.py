"""Batches of crops with the face pairs of their scenes, each a function of its step alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from inscene.errors import SampleError, UsageError
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.stage_two import StageTwoBatch
from inscene.faces.align import ByteImage
from inscene.seeds import Draws
from inscene.training.order import WHOLE, Order, Share
from inscene.training.restorer.recipe import DataChoices
from inscene.training.restorer.samples import Sample
from inscene.training.restorer.scenes import FaceFrom, Scene, SceneReader

REPLACEMENTS = 20
"""Tries to find a usable image in place of one that is not, before it is given up."""


@dataclass(frozen=True, eq=False)
class Example:
    """A crop of a scene, and the scene's face. uint8 height × width × 3, RGB."""

    sample_id: str
    version: int
    lq: ByteImage
    hq: ByteImage
    face: tuple[ByteImage, ByteImage] | None
    """LQ and HQ. Of the whole scene: it need not be inside the crop."""
    face_from: FaceFrom
    replaced: int = 0
    """Images that could not be used, in whose place this one is."""


Examples = tuple[Example, ...]


class CropSource:
    """The batches of a training run. Pickles, so that other processes can make them."""

    def __init__(
        self, samples: Sequence[Sample], choices: DataChoices, *, batch: int, seed: int
    ) -> None:
        self._samples, self._choices, self._seed = tuple(samples), choices, seed
        self.order = Order(len(self._samples), batch, seed)
        self._reader = SceneReader(choices)

    def batch(self, step: int, share: Share = WHOLE, unit: int = 1) -> Examples:
        """Raises ``UsageError`` for an image that cannot be used, where the recipe says ``stop`` or
        no other was found either. ``share`` of the samples, in blocks of ``unit``."""
        drawn = share.of(self.order.drawn(step), unit)
        return tuple(self._example(one.index, one.epoch) for one in drawn)

    def _example(self, index: int, epoch: int) -> Example:
        tries = 1 if self._choices.unusable == "stop" else REPLACEMENTS
        spare = Draws(self._seed, "spare", index, epoch)
        for attempt in range(tries):
            sample = self._samples[index]
            draws = Draws(self._seed, "restorer", sample.id, epoch)
            try:
                scene = self._reader.read(sample, epoch, draws)
                return replace(self._cut(scene, draws), replaced=attempt)
            except SampleError as error:
                problem = unusable(sample.id, error)
            index = spare.seed(str(attempt)) % len(self._samples)
        raise problem

    def _cut(self, scene: Scene, draws: Draws) -> Example:
        lq, hq = crop(scene, self._choices.crop_px, draws)
        face, face_from = scene.face, scene.face_from
        if face is not None and draws.coin("drop", self._choices.faces.drop):
            face, face_from = None, "none"
        if self._choices.flip and draws.coin("flip", 0.5):
            # The face too: how the scene was degraded may have a direction.
            lq, hq = lq[:, ::-1], hq[:, ::-1]
            face = None if face is None else (face[0][:, ::-1], face[1][:, ::-1])
        return Example(
            scene.sample_id,
            scene.version,
            np.ascontiguousarray(lq),
            np.ascontiguousarray(hq),
            # Copied: else a view of a whole scene goes from process to process.
            None if face is None else (face[0].copy(), face[1].copy()),
            face_from,
        )


def crop(scene: Scene, side: int, draws: Draws | None = None) -> tuple[ByteImage, ByteImage]:
    """LQ and HQ at one place, ``side`` × ``side``: anywhere, or the middle where there are no
    ``draws``. A scene that is smaller is continued by its mirror image, as in inference.

    Raises ``SampleError`` (``scene_too_small``) where the mirror image does not suffice.
    """
    (lq, hq), height, width = (scene.lq, scene.hq), *scene.hq.shape[:2]
    if missing := max(0, side - height, side - width):
        down, right = max(0, side - height), max(0, side - width)
        if down >= height or right >= width:
            raise SampleError(
                "scene_too_small", f"{width}x{height} px, crops of {side} px, {missing} px missing"
            )
        lq, hq = (
            np.asarray(cv2.copyMakeBorder(one, 0, down, 0, right, cv2.BORDER_REFLECT_101), np.uint8)
            for one in (lq, hq)
        )
    y, x = (
        (length - side) // 2 if draws is None else int(draws.unit(name) * (length - side + 1))
        for name, length in (("crop.y", hq.shape[0]), ("crop.x", hq.shape[1]))
    )
    return lq[y : y + side, x : x + side], hq[y : y + side, x : x + side]


def tensor_of(image: ByteImage) -> Tensor:
    """3×H×W float32 in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 127.5 - 1


def image_of(tensor: Tensor) -> ByteImage:
    """The inverse, rounded."""
    numbers = ((tensor.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round()
    return np.ascontiguousarray(numbers.to(torch.uint8).numpy().transpose(1, 2, 0))


def pair_of(face: tuple[ByteImage, ByteImage] | None, device: torch.device) -> FacePair | None:
    if face is None:
        return None
    lq, hq = (tensor_of(one).to(device) for one in face)
    return FacePair(lq, hq)


def micro_batches(
    examples: Sequence[Example], size: int, device: torch.device
) -> list[StageTwoBatch]:
    """Parts of at most ``size`` examples, all with a face pair or all without: scenes with one have
    more tokens."""
    found = []
    for part in _parts(examples, size):
        lq, hq = (
            torch.stack([tensor_of(image) for image in images]).to(device)
            for images in ([one.lq for one in part], [one.hq for one in part])
        )
        found.append(StageTwoBatch(lq, hq, [pair_of(one.face, device) for one in part]))
    return found


def _parts(examples: Sequence[Example], size: int) -> Iterator[Sequence[Example]]:
    for with_face in (True, False):
        alike = [one for one in examples if (one.face is not None) == with_face]
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def unusable(sample_id: str, error: SampleError) -> UsageError:
    return UsageError(
        f"an image cannot be used for training: {error.reason}",
        where=sample_id,
        why=f"{error.detail}." if error.detail else None,
        next_step="Take it out of the data; or go on without such images, and have them counted: "
        "--set data.unusable=skip.",
    )
