"""Realistic degradations: from a clean image (GT) to a low-quality one (LQ), with a record of how.

    profile = load_profile("s3diff")
    operator = Operator.draw(profile, Draws(seed, image_key, version))
    lq = degrade(image, operator, noise_seed)

The names below are loaded when they are first used: OpenCV and SciPy cost most of a second.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inscene.degrade.apply import degrade
    from inscene.degrade.operator import Operator, load_operator
    from inscene.degrade.profile import Profile, load_profile
    from inscene.degrade.psf_field import PsfField
    from inscene.degrade.record import make_record, replay

__all__ = [
    "Operator",
    "Profile",
    "PsfField",
    "degrade",
    "load_operator",
    "load_profile",
    "make_record",
    "replay",
]

_HOMES = {
    "Operator": "operator",
    "Profile": "profile",
    "PsfField": "psf_field",
    "degrade": "apply",
    "load_operator": "operator",
    "load_profile": "profile",
    "make_record": "record",
    "replay": "record",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
