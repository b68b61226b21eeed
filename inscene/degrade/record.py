"""The record of one LQ: enough to make it again, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from inscene.degrade.apply import degrade, enlarge, stage_sizes
from inscene.degrade.arrays import ByteImage
from inscene.degrade.kernels import effective_sigma, kernel
from inscene.degrade.noise import RNG_NAME
from inscene.degrade.operator import Operator, StageOperator
from inscene.degrade.psf_field import PsfField, matching
from inscene.degrade.values import EllipseBlur, FieldBlur, LensBlur, SincBlur
from inscene.degrade.varying import kernel_at, lens_kernels
from inscene.errors import UsageError, VerificationError
from inscene.images import pixel_hash

Out = Literal["lq", "gt"]
"""The size of what is written: the LQ's own, or enlarged to the GT's."""


def make_record(
    lq: ByteImage,
    operator: Operator,
    *,
    gt_size: tuple[int, int],
    profile: str,
    image_key: str,
    version: int,
    noise_seed: int,
    out: Out = "lq",
    psf_field: PsfField | None = None,
    face_bbox: Sequence[float] | None = None,
) -> dict[str, Any]:
    """The record as plain JSON data; sizes are [height, width].

    ``effective`` holds what follows from the operator and is of use in analyses: the sizes after
    the resizes, and the blurs' widths in px once the kernels' tails are cut. Of a blur that varies
    it has the widths at the centre, the corners (in reading order) and the face, whose box is in px
    of the GT (x0, y0, x1, y1).
    """
    sizes = stage_sizes(operator, gt_size)
    return {
        "sem": operator.sem,
        "profile": profile,
        "operator_id": operator.operator_id,
        "image_key": image_key,
        "version": version,
        "noise_seed": noise_seed,
        "rng": RNG_NAME,
        "gt_size": list(gt_size),
        "sf": operator.sf,
        "registration": operator.registration,
        "jpeg_backend": operator.jpeg_backend,
        "usm": operator.usm,
        "out": out,
        "operator": operator.to_dict(),
        "effective": {
            stage: _effective(part, size, where)
            for stage, part, size, where in (
                ("first", operator.first, sizes.first, Where(gt_size, psf_field, face_bbox)),
                ("second", operator.second, sizes.second, Where(sizes.first, psf_field)),
            )
        },
        "lq_sha256": pixel_hash(lq),
    }


@dataclass(frozen=True)
class Where:
    """What a blur is applied to."""

    size: tuple[int, int]
    psf_field: PsfField | None
    face_bbox: Sequence[float] | None = None


def _effective(
    stage: StageOperator | None, size: tuple[int, int] | None, where: Where
) -> dict[str, Any] | None:
    if stage is None or size is None:
        return None
    facts: dict[str, Any] = {"blur_sigma": None, "size": list(size)}
    match stage.blur:
        case None | SincBlur():
            pass
        case EllipseBlur():
            facts["blur_sigma"] = effective_sigma(kernel(stage.blur))
        case LensBlur():
            facts["blur_sigma_at"] = _sigma_at(lens_kernels(stage.blur, where.size), where)
        case FieldBlur():
            facts["blur_sigma_at"] = _sigma_at(matching(where.psf_field, stage.blur).psf, where)
    return facts


def _sigma_at(kernels: npt.NDArray[np.floating], where: Where) -> dict[str, Any]:
    def sigma(u: float, v: float) -> float | None:
        value = effective_sigma(kernel_at(kernels, u, v))
        return None if math.isnan(value) else value

    facts: dict[str, Any] = {
        "centre": sigma(0, 0),
        "corners": [sigma(u, v) for v in (-1, 1) for u in (-1, 1)],
    }
    if where.face_bbox is not None:
        x0, y0, x1, y1 = where.face_bbox
        height, width = where.size
        facts["face"] = sigma(_inside((x0 + x1) / width - 1), _inside((y0 + y1) / height - 1))
    return facts


def _inside(place: float) -> float:
    return min(1.0, max(-1.0, place))


def replay(
    image: ByteImage, record: Mapping[str, Any], psf_field: PsfField | None = None
) -> ByteImage:
    """Make the LQ of a record again from the clean image (uint8 RGB).

    ``psf_field`` is needed where the operator blurs by one. Raises ``UsageError`` if the record
    lacks a key or is not of an image of this size, and ``VerificationError`` if the pixels are not
    those that the record was written for.
    """
    try:
        noise_seed, gt_size = int(record["noise_seed"]), tuple(record["gt_size"])
        operator, expected = Operator.from_dict(record["operator"]), record["lq_sha256"]
        rng, out = record["rng"], record["out"]
    except KeyError as error:
        raise UsageError(f"this degradation record has no key {error}") from error
    if image.shape[:2] != gt_size:
        raise UsageError(
            f"the image is {image.shape[0]} × {image.shape[1]}, the record's {gt_size[0]} × "
            f"{gt_size[1]} (height × width)",
            next_step="Give the clean image that was degraded.",
        )
    lq = degrade(image, operator, noise_seed, psf_field)
    if out == "gt":
        lq = enlarge(lq, gt_size)
    if pixel_hash(lq) != expected:
        raise VerificationError(
            "the replayed LQ is not the recorded one",
            where=f"operator {operator.operator_id}, noise seed {noise_seed}",
            why="The clean image is another, or the machine or library versions are: the record "
            f"has {rng!r}, this process {RNG_NAME!r}.",
            next_step="inscene.degrade.degrade applies the operator without this check.",
        )
    return lq
