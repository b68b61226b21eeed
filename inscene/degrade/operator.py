"""The operator: one drawn degradation, complete but for the noise fields.

Two images that were degraded by equal operators have the same degradation; its id is the label that
contrastive training needs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from inscene.degrade.drawing import (
    draw_blur,
    draw_jpeg,
    draw_lens,
    draw_noise,
    draw_resize,
    draw_sinc,
)
from inscene.degrade.files import find_file
from inscene.degrade.messages import explain
from inscene.degrade.profile import LensRanges, Profile, StageRanges
from inscene.degrade.values import (
    Blur,
    FieldBlur,
    Filter,
    Jpeg,
    JpegBackend,
    Noise,
    Order,
    Registration,
    Resize,
    ScaleFactor,
    SincBlur,
    Value,
)
from inscene.errors import UsageError
from inscene.seeds import Draws

SEMANTICS: Literal[1] = 1
"""Raised when the same operator, seed and image would give another LQ."""


class StageOperator(Value):
    """Blur, resize, noise and JPEG of one stage; the final pair applies the second stage's JPEG."""

    blur: Blur | None
    resize: Resize
    """Relative to the GT in the first stage, to GT size / sf in the second."""
    noise: tuple[Noise, ...]
    """In the order of their application; the sum is clipped after each."""
    jpeg: Jpeg

    @classmethod
    def draw(
        cls,
        ranges: StageRanges,
        draws: Draws,
        name: str,
        varying: LensRanges | FieldBlur | None = None,
    ) -> StageOperator:
        """``varying`` takes the place of the blur's ranges."""
        return cls(
            blur=_draw_varying(varying, draws, f"{name}.blur")
            if varying
            else draw_blur(ranges.blur, draws, f"{name}.blur"),
            resize=draw_resize(ranges.resize, draws, f"{name}.resize"),
            noise=draw_noise(ranges.noise, draws, f"{name}.noise"),
            jpeg=draw_jpeg(ranges.jpeg, draws, f"{name}.jpeg"),
        )


def _draw_varying(varying: LensRanges | FieldBlur, draws: Draws, name: str) -> Blur:
    return varying if isinstance(varying, FieldBlur) else draw_lens(varying, draws, name)


class FinalOperator(Value):
    order: Order
    filter: Filter
    sinc: SincBlur | None


class Operator(Value):
    """Every draw that is not a field of random pixels, and what fixes the meaning of the draws."""

    sem: Literal[1] = SEMANTICS
    sf: ScaleFactor
    usm: bool
    registration: Registration
    jpeg_backend: JpegBackend
    first: StageOperator
    second: StageOperator | None
    final: FinalOperator

    @classmethod
    def draw(cls, profile: Profile, draws: Draws) -> Operator:
        jpeg_first = draws.coin("final.jpeg_first", profile.final.jpeg_first_prob)
        return cls(
            sf=profile.sf,
            usm=profile.usm,
            registration=profile.registration,
            jpeg_backend=profile.jpeg_backend,
            first=StageOperator.draw(profile.first, draws, "first", profile.varying_blur),
            second=StageOperator.draw(profile.second, draws, "second") if profile.second else None,
            final=FinalOperator(
                order="jpeg_resize_sinc" if jpeg_first else "resize_sinc_jpeg",
                filter=draws.choice("final.filter", profile.final.filters),
                sinc=draw_sinc(profile.final.sinc, draws, "final.sinc"),
            ),
        )

    @property
    def operator_id(self) -> str:
        """BLAKE2b-128 of the canonical JSON, in hex."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Only dicts, lists, strings, numbers, booleans and None."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """Canonical: sorted keys, no blanks, the shortest digits that give each float back."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Operator:
        """Raises ``UsageError`` naming the key that is unknown, missing or out of its bounds, or
        the semantics version that this engine does not have."""
        try:
            return cls.from_json(json.dumps(data))
        except (TypeError, ValueError) as error:
            raise _unusable(f"{error}.") from error

    @classmethod
    def from_json(cls, text: str) -> Operator:
        """The inverse of :meth:`to_json`, in any layout. Raises as :meth:`from_dict`."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise _unusable(f"It is not valid JSON: {error}.") from error
        if not isinstance(data, dict):
            raise _unusable("A JSON object is needed.")
        if data.get("sem") != SEMANTICS:
            raise UsageError(
                f"a degradation operator with sem={data.get('sem')!r}",
                why=f"This engine applies sem={SEMANTICS}.",
                next_step="Use the version of inscene that wrote the operator.",
            )
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            what, _, next_step = explain(error, cls)
            raise UsageError(what, where="degradation operator", next_step=next_step) from error


def load_operator(name_or_path: str | Path) -> Operator:
    """A shipped preset by its name (``d1`` .. ``d4``), or a file: an operator as JSON or YAML, or
    the record of a degraded image, whose operator is taken. Raises ``UsageError``."""
    path = find_file("presets", name_or_path, "degradation operator")
    try:
        text = path.read_text(encoding="utf-8")
        # YAML would take JSON too, but reads 1e-05 as a word.
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError("cannot be read", where=str(path), why=f"{error}.") from error
    if isinstance(data, dict) and "operator_id" in data:
        data = data.get("operator")
    try:
        return Operator.from_dict(data)
    except UsageError as error:
        error.where = str(path)
        raise


def _unusable(why: str) -> UsageError:
    return UsageError("this is no degradation operator", why=why)
