"""The same few scenes again and again: how well they are restored, in numbers and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inscene.errors import SampleError
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.face2scene.updates import Scalars
from inscene.faces.align import ByteImage
from inscene.quality.psnr import psnr_y
from inscene.quality.ssim import ssim_y
from inscene.seeds import Draws
from inscene.training.restorer.data import crop, image_of, pair_of, tensor_of, unusable
from inscene.training.restorer.recipe import DataChoices
from inscene.training.restorer.samples import Sample
from inscene.training.restorer.scenes import SceneReader

GAP_PX = 2


@dataclass(frozen=True, eq=False)
class Fixed:
    """One scene of the validation set."""

    sample_id: str
    lq: ByteImage
    hq: ByteImage
    bicubic: ByteImage
    face: tuple[ByteImage, ByteImage] | None


class Validation:
    """PSNR and SSIM of the luma, as the bench has them, in the very way in which the model will be
    used: with guidance and colour fix. ``*_bicubic`` are of the LQ enlarged by bicubic
    interpolation, and ``*_gain`` are how much better the model is, both means over the scenes."""

    def __init__(
        self, samples: Sequence[Sample], choices: DataChoices, *, crop_px: int, seed: int
    ) -> None:
        """Reads and degrades all of them, once. Raises ``UsageError`` for one that cannot be."""
        reader = SceneReader(choices)
        self.scenes = tuple(_fixed(reader, one, crop_px, seed) for one in samples)
        self._bicubic = [_scores(one.bicubic, one.hq) for one in self.scenes]

    def restored(self, pipeline: Face2ScenePipeline, batch: int = 1) -> list[ByteImage]:
        """Leaves the model in evaluation mode."""
        outputs = pipeline(
            [tensor_of(one.lq) for one in self.scenes],
            [pair_of(one.face, pipeline.device) for one in self.scenes],
            batch_size=batch,
        )
        return [image_of(one) for one in outputs]

    def measure(self, outputs: Sequence[ByteImage]) -> Scalars:
        """Of what :meth:`restored` gave."""
        own = [_scores(out, one.hq) for out, one in zip(outputs, self.scenes, strict=True)]
        means = {"": np.mean(own, 0), "_bicubic": np.mean(self._bicubic, 0)}
        means["_gain"] = means[""] - means["_bicubic"]
        return {
            f"{metric}{kind}": float(values[index])
            for kind, values in means.items()
            for index, metric in enumerate(("psnr", "ssim"))
        }

    def grid(self, outputs: Sequence[ByteImage], rows: int) -> ByteImage:
        """One row a scene: LQ, restored, HQ."""
        lines = [
            [one.lq, out, one.hq] for one, out in zip(self.scenes[:rows], outputs, strict=False)
        ]
        side = lines[0][0].shape[0]
        step = side + GAP_PX
        sheet = np.full((len(lines) * step - GAP_PX, 3 * step - GAP_PX, 3), 255, np.uint8)
        for down, line in enumerate(lines):
            for across, image in enumerate(line):
                y, x = down * step, across * step
                sheet[y : y + side, x : x + side] = image
        return sheet


def _fixed(reader: SceneReader, sample: Sample, crop_px: int, seed: int) -> Fixed:
    draws = Draws(seed, "validation", sample.id)
    try:
        scene = reader.read(sample, 0, draws)
        lq, hq = crop(scene, crop_px)
        other = scene.with_lq(scene.bicubic())
        bicubic, _ = crop(other, crop_px)
    except SampleError as error:
        raise unusable(sample.id, error) from error
    lq, hq, bicubic = (np.ascontiguousarray(one) for one in (lq, hq, bicubic))
    return Fixed(sample.id, lq, hq, bicubic, scene.face)


def _scores(image: ByteImage, reference: ByteImage) -> tuple[float, float]:
    return psnr_y(image, reference), ssim_y(image, reference)
