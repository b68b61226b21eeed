"""An operator in a line of plain words, for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from inscene.degrade.operator import Operator
from inscene.images.page import SEPARATORS

STEP, STAGE = SEPARATORS
"""Between the steps of a stage, and between the stages."""


def describe(operator: Operator) -> str:
    """The steps in the order of their application, Latin-1 only: small fonts have no Greek.

    ``iso sigma 2.1 · scale 0.35 bicubic · poisson 1.2 gray · q45 | to LQ size area · sinc``; widths
    in px, Gaussian noise in 1/255 of white, scales as in the operator.
    """
    data = operator.to_dict()
    first, second, final = data["first"], data["second"], data["final"]
    before = ["sharpened"] if data["usm"] else []
    stages = [[*before, *_stage(first), _jpeg(first)]]
    ends = [f"to LQ size {final['filter']}"]
    if final["sinc"] is not None:
        ends.append(_blur(final["sinc"]))
    if second is not None:
        stages.append(list(_stage(second)))
        jpeg_first = final["order"] == "jpeg_resize_sinc"
        ends.insert(0 if jpeg_first else len(ends), _jpeg(second))
    return STAGE.join(STEP.join(stage) for stage in (*stages, ends))


def _stage(stage: Mapping[str, Any]) -> Iterator[str]:
    if stage["blur"] is not None:
        yield _blur(stage["blur"])
    yield f"scale {stage['resize']['scale']:.3g} {stage['resize']['filter']}"
    for noise in stage["noise"]:
        yield _noise(noise)


def _blur(blur: Mapping[str, Any]) -> str:
    """A family that is not known here goes by its name."""
    words = str(blur["family"]).replace("_", " ")
    if "cutoff" in blur:
        return f"{words} {blur['cutoff'] / math.pi:.2g} pi"
    if "sigma_edge" in blur:
        return f"{words} sigma {blur['sigma_centre']:.2g} to {blur['sigma_edge']:.2g}"
    if "sigma_x" not in blur:
        return words
    words += f" sigma {blur['sigma_x']:.2g}"
    if blur["family"].endswith("aniso"):
        words += f"/{blur['sigma_y']:.2g} at {math.degrees(blur['theta']):.0f}°"
    return words if blur["beta"] == 1 else f"{words} beta {blur['beta']:.2g}"


def _noise(noise: Mapping[str, Any]) -> str:
    strength = noise["sigma"] if "sigma" in noise else noise["scale"]
    words = f"{noise['kind']} {strength:.2g}"
    if noise.get("levels", 256) != 256:
        words += f" levels {noise['levels']}"
    return f"{words} gray" if noise["gray"] else words


def _jpeg(stage: Mapping[str, Any]) -> str:
    return f"q{stage['jpeg']['quality']:.0f}"
