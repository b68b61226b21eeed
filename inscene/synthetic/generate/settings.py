"""How FLUX is sampled, and how it is fitted into a machine's memory."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from inscene.errors import RecipeError

MemoryMode = Literal["resident", "two-phase", "offload", "quant"]
Dtype = Literal["bfloat16", "float16", "float32"]
Quantisation = Literal["int8", "fp8"]

FLUX = "flux.1-dev"
INFINITE_YOU = "infiniteyou-sim"
LORA = ("antiblur-lora", "FLUX-dev-lora-AntiBlur.safetensors")
"""Weight and file; the others are folders of their weight."""

LORA_SCALE_STATED = 1.5
"""Highest scale that the anti-blur LoRA's own page names."""
TOKENS_MAX = 512
"""Of T5: what FLUX.1 [dev] was trained with, and diffusers accepts."""


@dataclass(frozen=True)
class FluxSettings:
    """What decides the images, weights and requests apart."""

    steps: int = 30
    """[InfiniteYou; InScene's script]"""
    guidance: float = 3.5
    """Of the transformer [InfiniteYou; InScene's script]; InfuseNet's own is 1 always."""
    infuse_scale: float = 1.0
    """How strongly the identity counts [InfiniteYou]. A frozen expression, or a prompt that is not
    followed, is a reason for ``infuse_start`` 0.1, and then for 0.9 here [InfiniteYou, README]."""
    infuse_start: float = 0.0
    infuse_end: float = 1.0
    """Shares of the steps between which the identity counts [InfiniteYou]."""
    lora_scale: float = 3.0
    """Of the anti-blur LoRA [InScene's script]; 0 is without it."""
    prompt_tokens: int = TOKENS_MAX
    """That T5 reads [InfiniteYou]. CLIP reads 77 of its own, whatever this says."""
    dtype: Dtype = "bfloat16"
    """[InfiniteYou]"""
    quantisation: Quantisation = "int8"
    """Of the weights, in the memory mode ``quant`` only."""

    def __post_init__(self) -> None:
        numbers = {
            "steps": 1 <= self.steps <= 1000,
            "guidance": 0 <= self.guidance < math.inf,
            "infuse_scale": 0 <= self.infuse_scale < math.inf,
            "infuse_start": 0 <= self.infuse_start <= self.infuse_end,
            "infuse_end": self.infuse_end <= 1,
            "lora_scale": math.isfinite(self.lora_scale),
            "prompt_tokens": 1 <= self.prompt_tokens <= TOKENS_MAX,
        }
        for name, is_right in numbers.items():
            if not is_right:
                raise RecipeError(f"{name}: {getattr(self, name)} makes no sense here")

    def notes(self) -> list[str]:
        """What a user should know about these settings, a sentence each."""
        notes = []
        if self.lora_scale > LORA_SCALE_STATED:
            notes.append(
                f"The anti-blur LoRA is used at {self.lora_scale:g}: its publisher's page names 1 "
                f"to {LORA_SCALE_STATED:g}, InScene's authors used 3. Lower it where images look "
                "over-sharpened."
            )
        return notes

    def fingerprint(self, memory: MemoryMode) -> dict[str, Any]:
        """As JSON values. Of the memory modes only ``quant`` changes what comes out."""
        facts = asdict(self)
        if memory != "quant":
            del facts["quantisation"]
        return facts
