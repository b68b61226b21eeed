"""All that decides the images of FLUX beside the requests. Neither torch nor a model is loaded."""

from __future__ import annotations

from typing import Any

from inscene.doctor.machine import version_of
from inscene.synthetic.generate.identity import IdTokenSettings
from inscene.synthetic.generate.settings import (
    FLUX,
    INFINITE_YOU,
    LORA,
    FluxSettings,
    MemoryMode,
)
from inscene.weights.locate import hash_of, hashes_of

VERSION = 1
"""Raised when the same request, settings and weights begin to give another image."""


def flux_fingerprint(
    settings: FluxSettings, memory: MemoryMode, identity: IdTokenSettings
) -> dict[str, Any]:
    """As JSON values. Raises ``MissingWeightError``."""
    packages = ["torch", "diffusers", "transformers"]
    weights: dict[str, Any] = {name: hashes_of(name) for name in (FLUX, INFINITE_YOU)}
    if settings.lora_scale:
        weights[LORA[0]] = {LORA[1]: hash_of(*LORA)}
        packages.append("peft")
    return {
        "version": VERSION,
        "generator": "flux",
        "settings": settings.fingerprint(memory),
        "weights": weights,
        "identity": identity.fingerprint(),
        "packages": {package: version_of(package) for package in packages},
    }
