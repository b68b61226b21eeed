"""One version of one image: the noise seed that its name gives it, the LQ and the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inscene.degrade.apply import degrade, enlarge
from inscene.degrade.arrays import ByteImage
from inscene.degrade.operator import Operator
from inscene.degrade.profile import Profile
from inscene.degrade.psf_field import PsfField
from inscene.degrade.record import Out, make_record
from inscene.seeds import Draws


@dataclass(frozen=True)
class Version:
    """Names one version of one image.

    ``image_key`` names the image by its content, so that a file degrades the same wherever it lies;
    ``seed`` is the dataset's.
    """

    image_key: str
    version: int
    seed: int

    @property
    def draws(self) -> Draws:
        return Draws(self.seed, self.image_key, self.version)

    @property
    def noise_seed(self) -> int:
        return self.draws.seed("noise_seed")


def shared_noise_seed(seed: int, operator: Operator) -> int:
    """One noise for all images of an operator (of one size): for ablations."""
    return Draws(seed, "shared noise", operator.operator_id).seed("noise_seed")


def degrade_version(
    image: ByteImage, profile: Profile, *, image_key: str, version: int, seed: int
) -> tuple[ByteImage, dict[str, Any]]:
    """The LQ (uint8 RGB) by an operator of its own, and its record.

    Both depend on the arguments alone; for their meaning see :class:`Version`. Raises as
    :func:`inscene.degrade.degrade`.
    """
    named = Version(image_key, version, seed)
    operator = Operator.draw(profile, named.draws)
    return apply_version(image, operator, named, origin=profile.name)


def apply_version(
    image: ByteImage,
    operator: Operator,
    named: Version,
    *,
    origin: str,
    noise_seed: int | None = None,
    out: Out = "lq",
    psf_field: PsfField | None = None,
    face_bbox: Sequence[float] | None = None,
) -> tuple[ByteImage, dict[str, Any]]:
    """The LQ by this operator, and its record. ``origin`` names what the operator is from, and goes
    into the record as its profile; the noise seed is the version's own by default."""
    noise_seed = named.noise_seed if noise_seed is None else noise_seed
    gt_size = (image.shape[0], image.shape[1])
    lq = degrade(image, operator, noise_seed, psf_field)
    if out == "gt":
        lq = enlarge(lq, gt_size)
    record = make_record(
        lq,
        operator,
        gt_size=gt_size,
        profile=origin,
        image_key=named.image_key,
        version=named.version,
        noise_seed=noise_seed,
        out=out,
        psf_field=psf_field,
        face_bbox=face_bbox,
    )
    return lq, record
