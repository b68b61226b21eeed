"""FLUX.1 [dev] with InfuseNet, through diffusers' own ``FluxControlNetPipeline``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inscene.errors import MachineError, SampleError
from inscene.synthetic.generate.fingerprint import flux_fingerprint
from inscene.synthetic.generate.id_tokens import IdTokens
from inscene.synthetic.generate.load import dtype_of, load_sampler, load_text_encoders
from inscene.synthetic.generate.memory import (
    PLACES,
    Places,
    find_device,
    out_of_memory_explained,
)
from inscene.synthetic.generate.prompt_embeds import KEPT, PromptCache
from inscene.synthetic.generate.request import ByteImage, Request
from inscene.synthetic.generate.settings import FluxSettings, MemoryMode


class FluxGenerator:
    """A :class:`~inscene.synthetic.generate.request.Generator`.

    ``device``: None is this machine's accelerator, or the CPU. ``prompts_kept`` in memory, of
    4.2 MB each. Models are loaded when they are first needed; ``places`` that have them already
    take the place of the memory mode's own.

    Raises ``MissingWeightError`` for weights that are not here, ``MachineError`` for a device or a
    package that is not.
    """

    def __init__(
        self,
        settings: FluxSettings | None = None,
        *,
        memory: MemoryMode = "two-phase",
        device: str | None = None,
        id_tokens: IdTokens | None = None,
        prompts_kept: int = KEPT,
        places: Places | None = None,
    ) -> None:
        self.settings = settings or FluxSettings()
        self.memory = memory
        self.device = find_device(device)
        self._id_tokens = id_tokens or IdTokens()
        self._fingerprint = flux_fingerprint(self.settings, memory, self._id_tokens.settings)
        self._places = places or PLACES[memory](
            lambda: load_text_encoders(self.settings),
            lambda: load_sampler(self.settings, quantised=memory == "quant"),
            self.device,
        )
        self._prompts = PromptCache(
            self._places, prompt_tokens=self.settings.prompt_tokens, kept=prompts_kept
        )

    def fingerprint(self) -> dict[str, Any]:
        return self._fingerprint

    def prepare(self, requests: Sequence[Request]) -> list[SampleError | None]:
        problems = [self._problem(request) for request in requests]
        possible = [
            request.prompt
            for request, problem in zip(requests, problems, strict=True)
            if problem is None
        ]
        with out_of_memory_explained(self.memory):
            self._prompts.ensure(possible)
        return problems

    def generate(self, requests: Sequence[Request]) -> list[ByteImage]:
        for problem in self.prepare(requests):
            if problem is not None:
                raise problem
        sizes: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            sizes[request.width, request.height].append(index)
        images: dict[int, ByteImage] = {}
        for indices in sizes.values():
            with out_of_memory_explained(self.memory):
                sampled = self._sample([requests[index] for index in indices])
            images.update(zip(indices, sampled, strict=True))
        return [images[index] for index in range(len(requests))]

    def _problem(self, request: Request) -> SampleError | None:
        try:
            self._id_tokens.of(request.reference)
        except SampleError as error:
            return error
        return None

    def _sample(self, requests: Sequence[Request]) -> list[ByteImage]:
        """All of one size."""
        settings = self.settings
        identities = torch.stack([self._id_tokens.of(request.reference) for request in requests])
        prompts = [self._prompts[request.prompt] for request in requests]
        with self._places.sampler() as pipeline, pipeline.controlnet.identity(identities):
            found = pipeline(
                prompt_embeds=self._here([prompt.tokens for prompt in prompts]),
                pooled_prompt_embeds=self._here([prompt.pooled for prompt in prompts]),
                control_image=_control(requests),
                width=requests[0].width,
                height=requests[0].height,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                controlnet_conditioning_scale=settings.infuse_scale,
                control_guidance_start=settings.infuse_start,
                control_guidance_end=settings.infuse_end,
                generator=[_noise(request.seed) for request in requests],
                output_type="np",
            )
        return [_as_bytes(image) for image in found.images]

    def _here(self, tensors: list[Tensor]) -> Tensor:
        return torch.stack(tensors).to(self.device, dtype_of(self.settings))


def _noise(seed: int) -> torch.Generator:
    """[chosen] Of the CPU: the same noise on every machine, and no cost beside the sampling."""
    return torch.Generator("cpu").manual_seed(seed)


def _control(requests: Sequence[Request]) -> Tensor:
    """B × 3 × H × W, -1..1: the pipeline takes tensors as they are."""
    first = requests[0]
    nothing = np.zeros((first.height, first.width, 3), np.uint8)
    images = [nothing if one.control_image is None else one.control_image for one in requests]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _as_bytes(image: np.ndarray[Any, np.dtype[np.float32]]) -> ByteImage:
    if not np.isfinite(image).all():
        raise MachineError(
            "FLUX gave numbers that are no pixels",
            why="They overflowed, or the weights are damaged.",
            next_step="Use the dtype bfloat16, then: inscene weights verify",
        )
    return np.asarray(np.round(image * 255), np.uint8)
