"""The plain way to generate: one image after the other, with the same models.

As InScene's script does it [data_generator.py]: for each try of each job the reference photograph
is read, the person in it detected, recognised and projected, the prompt encoded, one image sampled,
then the reference is looked at again and the image compared with it; then comes the next try.
Unlike there, no model is loaded twice or moved between CPU and GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from inscene.faces.crops import identity_crop
from inscene.faces.embedders.choice import EMBEDDERS
from inscene.images.decode import decode
from inscene.quiet import quiet_diffusion
from inscene.synthetic.gates import Gates
from inscene.synthetic.generate.flux import ByteImage
from inscene.synthetic.generate.id_projector import load_projector
from inscene.synthetic.generate.id_tokens import first_face, one_by_one
from inscene.synthetic.generate.identity import EMBEDDER, PROJECTOR, IdTokenSettings
from inscene.synthetic.generate.load import dtype_of
from inscene.synthetic.generate.memory import Places
from inscene.synthetic.generate.settings import FluxSettings
from inscene.synthetic.judge import IdentityRule, Judge
from inscene.weights.locate import find_file

PARTS = ("identity", "prompt", "sampling", "judging")
T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """A job, as far as the plain way knows it."""

    id: str
    prompt: str
    reference: Path
    seeds: tuple[int, ...]
    """Of its tries."""
    side_px: int


@dataclass
class Made:
    image: ByteImage | None = None
    """The accepted one, or the most alike."""
    reasons: list[str | None] = field(default_factory=list)
    """Of each try; None of the one that was taken."""
    similarity: list[float | None] = field(default_factory=list)


class PlainLoop:
    """``places``: the models, all loaded."""

    def __init__(
        self, settings: FluxSettings, places: Places, device: torch.device, rule: IdentityRule
    ) -> None:
        self._settings, self._places, self._device = settings, places, device
        identity = IdTokenSettings()
        self._detectors = [choice.open() for choice in one_by_one(identity.detector)]
        self._embedder = EMBEDDERS[EMBEDDER].open()
        self._projector = load_projector(find_file(*PROJECTOR), identity.projector)
        self._judge = Judge(rule, Gates())
        self._looks = 0
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def make(self, jobs: Sequence[Wanted]) -> list[Made]:
        return [self._make(job) for job in jobs]

    def _make(self, job: Wanted) -> Made:
        made, most = Made(), -2.0
        for seed in job.seeds:
            data = job.reference.read_bytes()
            tokens = self._timed("identity", lambda data=data: self._tokens(data))
            prompt = self._timed("prompt", lambda: self._encode(job.prompt))
            image = self._timed(
                "sampling",
                lambda tokens=tokens, prompt=prompt, seed=seed: self._sample(
                    tokens, prompt, seed, job.side_px
                ),
            )
            verdict = self._timed("judging", lambda data=data, image=image: self._look(data, image))
            made.reasons.append(verdict.reason)
            made.similarity.append(verdict.similarity)
            alike = -1.0 if verdict.similarity is None else verdict.similarity
            if verdict.reason is None or alike > most:
                made.image, most = image, alike
            if verdict.reason is None:
                break
        return made

    def _timed(self, part: str, call: Callable[[], T]) -> T:
        begin = time.perf_counter()
        result = call()
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds[part] += time.perf_counter() - begin
        return result

    def _tokens(self, data: bytes) -> torch.Tensor:
        photo = decode(data).pixels
        face = first_face(photo, self._detectors)
        assert face is not None
        crop = identity_crop(photo, face.landmarks5, self._embedder.template)
        vector = torch.from_numpy(self._embedder.embed([crop]))
        with torch.no_grad():
            tokens: torch.Tensor = self._projector(vector).to(torch.bfloat16)
        return tokens

    def _encode(self, prompt: str) -> Any:
        with self._places.text_encoders() as pipeline, torch.no_grad(), quiet_diffusion():
            return pipeline.encode_prompt(prompt, max_sequence_length=self._settings.prompt_tokens)

    def _sample(self, tokens: torch.Tensor, prompt: Any, seed: int, side_px: int) -> ByteImage:
        settings = self._settings
        dtype = dtype_of(settings)
        with self._places.sampler() as pipeline, pipeline.controlnet.identity(tokens):
            found = pipeline(
                prompt_embeds=prompt[0].to(self._device, dtype),
                pooled_prompt_embeds=prompt[1].to(self._device, dtype),
                control_image=torch.full((1, 3, side_px, side_px), -1.0),
                width=side_px,
                height=side_px,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                generator=torch.Generator("cpu").manual_seed(seed),
                output_type="np",
            )
        return np.asarray(np.round(found.images[0] * 255), np.uint8)

    def _look(self, data: bytes, image: ByteImage) -> Any:
        self._looks += 1  # a name that the judge does not know: it embeds the reference anew
        reference = self._judge.reference(f"look {self._looks}", decode(data).pixels)
        return self._judge(image, reference, None)
