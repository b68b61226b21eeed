"""InfuseNet: FLUX's control net, told who is in the image instead of what the prompt says.

Its weights are an ordinary ``FluxControlNetModel`` [InfiniteYou, pipelines/pipeline_infu_flux.py];
what differs is what it is called with [pipelines/pipeline_flux_infusenet.py]. So one method of
the model is overridden, and diffusers' own pipeline runs it unmodified.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import FluxControlNetModel
from torch import Tensor

GUIDANCE = 1.0
"""What InfuseNet was distilled for [InfiniteYou]: the guidance of a call is the transformer's."""


class InfuseNet(FluxControlNetModel):  # type: ignore[misc]  # diffusers has no types
    """Within :meth:`identity` it attends to identity tokens; a control net would to the prompt."""

    id_tokens: Tensor | None = None

    @contextmanager
    def identity(self, tokens: Tensor) -> Iterator[None]:
        """For the calls within: B × n × d tokens, of which B is 1 or as many as images."""
        width = self.config.joint_attention_dim
        if tokens.ndim != 3 or tokens.shape[-1] != width:
            raise ValueError(f"identity tokens are B × n × {width}, got {tuple(tokens.shape)}")
        if self.id_tokens is not None:
            raise ValueError("the identity of these calls is set already")
        self.id_tokens = tokens
        try:
            yield
        finally:
            self.id_tokens = None

    # The pipeline passes everything by these names.
    def forward(
        self,
        hidden_states: Tensor,
        controlnet_cond: Tensor,
        *,
        conditioning_scale: float = 1.0,
        encoder_hidden_states: Tensor | None = None,
        txt_ids: Tensor | None = None,
        guidance: Tensor | None = None,
        **rest: Any,
    ) -> Any:
        """As the base class, with ``return_dict=False``: the residuals of its blocks, or twice None
        at a scale of 0. ``encoder_hidden_states``, ``txt_ids`` and the value of ``guidance`` are
        not looked at. Raises ``ValueError`` outside of :meth:`identity`."""
        if conditioning_scale == 0:  # of a step that is switched off: nothing is added
            return None, None
        if self.id_tokens is None:
            raise ValueError("InfuseNet is called outside of 'with infusenet.identity(tokens):'")
        tokens = self.id_tokens.to(hidden_states).expand(len(hidden_states), -1, -1)
        return super().forward(
            hidden_states,
            controlnet_cond,
            conditioning_scale=conditioning_scale,
            encoder_hidden_states=tokens,
            txt_ids=hidden_states.new_zeros(tokens.shape[1], 3),
            guidance=None if guidance is None else torch.full_like(guidance, GUIDANCE),
            **rest,
        )
