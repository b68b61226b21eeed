"""What the study looks at: the section ``study`` of a suite."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from inscene.faces.detectors.choice import DetectorName


class Study(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    images: Annotated[int, Field(ge=2, le=50)] = 10
    """[paper] 10, at random. [chosen] The first by name that show a face: everybody's are the
    same."""
    presets: tuple[str, ...] = ("d1", "d2", "d3", "d4")
    """[paper] Four fixed degradations; names or files, as ``inscene degrade --operator`` takes."""
    detector: DetectorName = "mtcnn"
    """Finds the faces, on the clean images. [chosen] The one that brings its weights along;
    ``metadata`` takes the faces that a dataset has."""
    seed: int = 0
    """Of the noise fields."""

    @field_validator("presets")
    @classmethod
    def _several(cls, presets: tuple[str, ...]) -> tuple[str, ...]:
        if len(presets) < 2 or len(set(presets)) < len(presets):
            raise ValueError("two or more different ones are needed")
        return presets
