"""What the text encoders say of a prompt, computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from inscene.quiet import quiet_diffusion

KEPT = 512
"""Prompts, of 4.2 MB each in bfloat16."""


@dataclass(frozen=True, eq=False)
class PromptEmbeds:
    """On the CPU, in the text encoders' precision."""

    tokens: Tensor
    """n × d, of T5."""
    pooled: Tensor
    """d', of CLIP."""


class Lends(Protocol):
    def text_encoders(self) -> AbstractContextManager[Any]: ...


class PromptCache:
    """The last ``kept`` prompts; more where so many are needed at once."""

    def __init__(self, places: Lends, *, prompt_tokens: int, kept: int = KEPT) -> None:
        self._places, self._prompt_tokens, self._kept = places, prompt_tokens, kept
        self._found: OrderedDict[str, PromptEmbeds] = OrderedDict()

    def ensure(self, prompts: Iterable[str]) -> None:
        """Encode those that are not here, all in one visit of the text encoders.

        One at a time: so what a prompt gives does not depend, not even in its rounding, on which
        others it came with.
        """
        wanted = list(dict.fromkeys(prompts))
        new = [prompt for prompt in wanted if prompt not in self._found]
        if new:
            with self._places.text_encoders() as pipeline:
                for prompt in new:
                    self._found[prompt] = _encoded(pipeline, prompt, self._prompt_tokens)
        for prompt in wanted:
            self._found.move_to_end(prompt)
        while len(self._found) > max(self._kept, len(wanted)):
            self._found.popitem(last=False)

    def __getitem__(self, prompt: str) -> PromptEmbeds:
        """Raises ``KeyError`` for one that has not been ensured."""
        return self._found[prompt]


def _encoded(pipeline: Any, prompt: str, prompt_tokens: int) -> PromptEmbeds:
    with torch.no_grad(), quiet_diffusion():  # CLIP cuts most prompts, which is known
        tokens, pooled, _ = pipeline.encode_prompt(prompt, max_sequence_length=prompt_tokens)
    return PromptEmbeds(tokens[0].cpu(), pooled[0].cpu())
