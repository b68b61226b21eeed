"""``degrade``: from one clean image to its LQ versions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from inscene import images
from inscene.degrade.arrays import ByteImage
from inscene.degrade.operator import Operator, load_operator
from inscene.degrade.pool import check as check_pool
from inscene.degrade.pool import deal, default_size
from inscene.degrade.profile import Profile, load_lens, load_profile
from inscene.degrade.psf_field import PsfField
from inscene.degrade.values import JpegBackend, Registration
from inscene.engine.rows import Call, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext
from inscene.errors import UsageError
from inscene.recipe import canonical_json

if TYPE_CHECKING:
    from inscene.degrade.choice import Choice

# What applies operators is imported when a worker sets up: numba takes a second, and a run's driver
# only reads profiles.


def _absolute(file: str | None) -> str | None:
    """A file by its whole path: workers may run in another folder."""
    return os.path.abspath(file) if file is not None and os.path.isfile(file) else file


File = AfterValidator(_absolute)


@dataclass(frozen=True)
class Degrade(Step):
    """One row for each version. The draws depend on the seed, the content of the clean image's
    source file and the version; not on its name or place. With shared operators they depend on the
    ids of all inputs instead."""

    profile: Annotated[str, File] = "s3diff"
    """Name of a shipped profile, or a file."""
    versions: Annotated[int, Field(ge=1)] = 5
    operator: Annotated[str | None, File] = None
    """One operator for all images, in place of the profile: a shipped preset (``d1`` .. ``d4``), or
    a file. The versions then differ in their noise alone."""
    operator_pool: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    """Share this many operators between the images, so that each serves at least two of them;
    ``auto``: as many as can do that."""
    share_noise: bool = False
    """Images that share an operator share the noise too."""
    varying_blur: Annotated[str | None, File] = None
    """A first blur that varies over the image, in place of the profile's: shipped ranges
    (``corners``), a file of ranges, or an ``.npz`` file with a PSF field."""
    out: Literal["lq", "gt"] = "lq"
    """``gt``: the LQ is enlarged to the size of the clean image (bicubic) and stored so."""
    sf: Annotated[int, Field(ge=1, le=16)] | None = None
    """This and all below: in place of the profile's, or the operator's, own value."""
    usm: bool | None = None
    registration: Registration | None = None
    jpeg: JpegBackend | None = None
    poisson_levels: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] | None = None

    def __post_init__(self) -> None:
        if self.operator is not None:
            for name in ("operator_pool", "varying_blur", "poisson_levels"):
                if getattr(self, name) is not None:
                    raise ValueError(f"operator and {name} exclude each other")

    def setup(self, context: StepContext) -> Call:
        from inscene.degrade.versions import Version, apply_version, shared_noise_seed

        choice, psf_field = self._choice(context), self._psf_field

        def degrade(row: Row) -> Outcome:
            assert row.pixels is not None
            stem = row.columns["image"]["path"].rpartition(".")[0] or row.columns["image"]["path"]
            clean = {"bytes": images.encode_png(row.pixels), "path": f"{stem}.png"}
            rows = []
            for version in range(self.versions):
                named = Version(row.columns["sha256"], version, context.seed)
                operator = choice.operator(row.input_id, named)
                shared = shared_noise_seed(context.seed, operator) if self.share_noise else None
                lq, record = apply_version(
                    row.pixels,
                    operator,
                    named,
                    origin=choice.origin,
                    noise_seed=shared,
                    out=self.out,
                    psf_field=psf_field,
                    face_bbox=row.columns.get("face_bbox"),
                )
                made = {
                    "version": version,
                    "operator_id": record["operator_id"],
                    "lq": {"bytes": images.encode_png(lq), "path": f"{stem}@{version}.png"},
                    "hq": clean,
                    "operator": canonical_json(record),
                    "seed": record["noise_seed"],
                    "lq_face_bbox": _box_at(row.columns.get("face_bbox"), row.pixels, lq),
                }
                rows.append(Row(row.input_id, {**row.columns, **made}))
            return Keep(tuple(rows))

        return row_by_row(degrade)

    def check(self, input_ids: Sequence[str]) -> None:
        if self.operator_pool is not None:
            check_pool(len(input_ids), self.versions, self._pool_size(len(input_ids)))

    def _pool_size(self, images: int) -> int:
        wanted = self.operator_pool
        return default_size(images, self.versions) if wanted in (None, "auto") else int(wanted)

    def fingerprint(self) -> dict[str, Any]:
        """The content of the files, not their names: an edited file is another recipe."""
        field = self._psf_field
        return {
            "versions": self.versions,
            "out": self.out,
            "share_noise": self.share_noise,
            "operator_pool": self.operator_pool,
            "profile": None if self.operator else self._profile().model_dump(mode="json"),
            "operator": self._operator().to_dict() if self.operator else None,
            # Whole: the dataset can then be replayed without the file.
            "psf_field": field.to_dict() if field else None,
        }

    def _choice(self, context: StepContext) -> Choice:
        from inscene.degrade.choice import Fixed, Own, Shared

        if self.operator is not None:
            return Fixed(self._operator(), os.path.basename(self.operator))
        profile = self._profile()
        if self.operator_pool is None:
            return Own(profile)
        ids = context.all_inputs()
        return Shared(profile, deal(ids, self.versions, self._pool_size(len(ids)), context.seed))

    def _operator(self) -> Operator:
        assert self.operator is not None
        value = load_operator(self.operator)
        return Operator.from_dict({**value.to_dict(), **self._changes()})

    def _profile(self) -> Profile:
        profile = load_profile(self.profile).with_changes(**self._changes())
        if self.poisson_levels is not None:
            profile = profile.with_poisson_levels(self.poisson_levels)
        if self.operator_pool is not None and profile.depends_on_content:
            raise UsageError(
                "poisson_levels 'auto' cannot be shared",
                why="The same operator would do different things to two images.",
                next_step="Leave it at 256, or leave out operator_pool.",
            )
        if field := self._psf_field:
            return profile.with_changes(varying_blur=field.blur)
        if self.varying_blur is not None:
            return profile.with_changes(varying_blur=load_lens(self.varying_blur))
        return profile

    def _changes(self) -> dict[str, object]:
        changes = {
            "sf": self.sf,
            "usm": self.usm,
            "registration": self.registration,
            "jpeg_backend": self.jpeg,
        }
        return {name: value for name, value in changes.items() if value is not None}

    @property
    def _psf_field(self) -> PsfField | None:
        name = self.varying_blur
        return PsfField.load(name) if name is not None and name.endswith(".npz") else None


def _box_at(box: Sequence[float] | None, clean: ByteImage, lq: ByteImage) -> list[float] | None:
    """A box of the clean image in px of its LQ."""
    if box is None:
        return None
    (height, width), (lq_height, lq_width) = clean.shape[:2], lq.shape[:2]
    scales = (lq_width / width, lq_height / height) * 2
    return [value * scale for value, scale in zip(box, scales, strict=True)]
