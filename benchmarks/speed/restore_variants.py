"""The ways to restore a scene that restore.py compares."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    name: str
    plain: bool = False
    """By restore_plain.py; else by the pipeline, both prompts in one batch."""
    fused: bool = False
    """Adapters added to the weights."""
    tiled: bool = True
    channels_last: bool = False
    bf16: bool = False
    compiled: bool = False


PLAIN = Variant("plain", plain=True)
PLAIN_UNTILED = Variant("plain, untiled", plain=True, tiled=False)
BATCHED = Variant("batched guidance")
FUSED = Variant("+ fused adapters", fused=True)

ON_CPU = (
    PLAIN,
    BATCHED,
    FUSED,
    PLAIN_UNTILED,
    Variant("fused, untiled", fused=True, tiled=False),
    Variant("same with channels-last", fused=True, tiled=False, channels_last=True),
    Variant("same with bf16", fused=True, tiled=False, bf16=True),
    Variant("same with compile", fused=True, tiled=False, compiled=True),
)
"""Each of the last three alone, since none of them is sure to gain anything on a CPU."""

ON_CUDA = (
    PLAIN,
    BATCHED,
    FUSED,
    Variant("+ channels-last", fused=True, channels_last=True),
    Variant("+ bf16", fused=True, channels_last=True, bf16=True),
    Variant("+ compile", fused=True, channels_last=True, bf16=True, compiled=True),
    PLAIN_UNTILED,
    Variant("bf16, untiled", fused=True, tiled=False, channels_last=True, bf16=True),
    Variant(
        "bf16, compile, untiled",
        fused=True,
        tiled=False,
        channels_last=True,
        bf16=True,
        compiled=True,
    ),
)

DEFAULT = {"cpu": "+ fused adapters", "cuda": "+ bf16"}
"""What ``inscene restore`` does where it is told nothing else."""


def variants(device: str) -> tuple[Variant, ...]:
    return ON_CUDA if device == "cuda" else ON_CPU


def cannot(variant: Variant, device: str, *, compile_on_cpu: bool = False) -> str | None:
    """Why the variant is left out: this machine has not what it needs, or nobody asked for it."""
    if not variant.compiled:
        return None
    if device == "cpu" and not compile_on_cpu:
        return "n/a: only with --compile"
    named = os.environ.get("CXX" if device == "cpu" else "CC")
    names = [named] if named else ["g++", "clang++"] if device == "cpu" else ["gcc", "clang", "cc"]
    if any(shutil.which(name) for name in names):
        return None
    return f"n/a: no compiler ({', '.join(names)})"
