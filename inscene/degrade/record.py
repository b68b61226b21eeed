"""The record of one LQ: enough to make it again, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inscene.degrade.apply import degrade, stage_sizes
from inscene.degrade.arrays import ByteImage
from inscene.degrade.kernels import effective_sigma
from inscene.degrade.noise import RNG_NAME
from inscene.degrade.operator import Operator, StageOperator
from inscene.errors import UsageError, VerificationError
from inscene.images import pixel_hash


def make_record(
    lq: ByteImage,
    operator: Operator,
    *,
    gt_size: tuple[int, int],
    profile: str,
    image_key: str,
    version: int,
    noise_seed: int,
) -> dict[str, Any]:
    """The record as plain JSON data; sizes are [height, width].

    ``effective`` holds what follows from the operator and is of use in analyses: the sizes after
    the resizes, and the blurs' widths in px once the kernels' tails are cut.
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
        "operator": operator.to_dict(),
        "effective": {
            "first": _effective(operator.first, sizes.first),
            "second": _effective(operator.second, sizes.second),
        },
        "lq_sha256": pixel_hash(lq),
    }


def _effective(stage: StageOperator | None, size: tuple[int, int] | None) -> dict[str, Any] | None:
    if stage is None or size is None:
        return None
    sigma = effective_sigma(stage.blur) if stage.blur is not None else None
    return {"blur_sigma": sigma, "size": list(size)}


def replay(image: ByteImage, record: Mapping[str, Any]) -> ByteImage:
    """Make the LQ of a record again from the clean image (uint8 RGB).

    Raises ``UsageError`` if the record lacks a key or is not of an image of this size, and
    ``VerificationError`` if the pixels are not those that the record was written for.
    """
    try:
        noise_seed, gt_size = int(record["noise_seed"]), tuple(record["gt_size"])
        operator, expected = Operator.from_dict(record["operator"]), record["lq_sha256"]
        rng = record["rng"]
    except KeyError as error:
        raise UsageError(f"this degradation record has no key {error}") from error
    if image.shape[:2] != gt_size:
        raise UsageError(
            f"the image is {image.shape[0]} × {image.shape[1]}, the record's {gt_size[0]} × "
            f"{gt_size[1]} (height × width)",
            next_step="Give the clean image that was degraded.",
        )
    lq = degrade(image, operator, noise_seed)
    if pixel_hash(lq) != expected:
        raise VerificationError(
            "the replayed LQ is not the recorded one",
            where=f"operator {operator.operator_id}, noise seed {noise_seed}",
            why="The clean image is another, or the machine or library versions are: the record "
            f"has {rng!r}, this process {RNG_NAME!r}.",
            next_step="inscene.degrade.degrade applies the operator without this check.",
        )
    return lq
