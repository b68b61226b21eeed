"""What a Face2Scene run may be told, beside its checkpoint's own configuration."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from inscene.errors import RecipeError
from inscene.suggest import did_you_mean

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


class Settings(BaseModel):
    """Parameters of the method ``face2scene`` and its variants. What is None is the checkpoint's
    own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: str | None = None
    """Folder, or ``org/name`` on the Hugging Face Hub. None is ``face2scene-small``, which ships,
    but for variants with other numbers of tokens."""
    base: str | None = None
    """Folder of the base model, in SD-Turbo's layout; else the verified weights are used."""
    tokens: Annotated[int, Field(ge=0)] | None = None
    """How many degradation tokens the checkpoint must give: variants are trained anew, and one is
    not to pass for another."""
    guidance_scale: Annotated[float, Field(ge=1)] | None = None
    colour_fix: Literal["wavelet", "adain", "none"] | None = None
    ref_fr: str = "faceme"
    """[paper] Restores the face with photographs of the person."""
    ref_fr_quality: Literal["good", "medium", "bad"] = "medium"
    """[paper] Table 9; medium is the restorer as it is."""
    blind: str = "none"
    """Restores the face where there are no photographs of the person. [chosen] ``none``: the scene
    is restored by its text tokens alone, since a blind face restorer changes who somebody is."""
    detector: Literal["mtcnn", "scrfd", "yolov8-face"] = "mtcnn"
    """[chosen] The only one that brings its weights along."""
    detect_on: Literal["lq", "metadata"] = "lq"
    """[chosen] Where nothing but the LQ is given, faces are found on it; ``metadata`` takes the
    landmarks that the dataset has of the clean image."""
    face: Literal["most_alike", "largest"] = "most_alike"
    """Which of several faces leads. [chosen] The one most like the references: they say whose the
    scene is."""
    tiled: bool = True
    """False: the whole scene at once, whatever its size. For a GPU whose memory allows it."""
    compiled: bool = False
    """Compile the networks with torch.compile: a minute at first, faster afterwards."""
    device: str = "auto"
    """``cpu``, ``cuda``, ``cuda:1``, ``mps``. [chosen] auto: a CUDA GPU where there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """[chosen] auto: bfloat16 on a GPU, float32 on a CPU."""
    seed: int = 0
    """Of what a stand-in for a face restorer draws."""

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not _DEVICE.fullmatch(value):
            raise ValueError(f"{value!r} is none of auto, cpu, cuda, cuda:1, mps")
        return value


def settings_of(values: dict[str, Any], where: str) -> Settings:
    """Raises :class:`RecipeError` for a name or a value that there is not."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            what, hint = f"no parameter {key!r}", did_you_mean(key, Settings.model_fields)
        else:
            what, hint = f"{key}: {first['msg'].removeprefix('Value error, ')}", ""
        raise RecipeError(what, where=where, next_step=hint) from error
