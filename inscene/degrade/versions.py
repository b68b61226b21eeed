"""One version of one image: the operator and the noise seed that its name gives it."""

from __future__ import annotations

from typing import Any

from inscene.degrade.apply import degrade
from inscene.degrade.arrays import ByteImage
from inscene.degrade.operator import Operator
from inscene.degrade.profile import Profile
from inscene.degrade.record import make_record
from inscene.seeds import Draws


def degrade_version(
    image: ByteImage, profile: Profile, *, image_key: str, version: int, seed: int
) -> tuple[ByteImage, dict[str, Any]]:
    """The LQ (uint8 RGB) and its record.

    Both depend on the arguments alone. ``image_key`` names the image by its content, so that a file
    degrades the same wherever it lies; ``seed`` is the dataset's. Raises as
    :func:`inscene.degrade.degrade`.
    """
    draws = Draws(seed, image_key, version)
    operator, noise_seed = Operator.draw(profile, draws), draws.seed("noise_seed")
    lq = degrade(image, operator, noise_seed)
    record = make_record(
        lq,
        operator,
        gt_size=(image.shape[0], image.shape[1]),
        profile=profile.name,
        image_key=image_key,
        version=version,
        noise_seed=noise_seed,
    )
    return lq, record
