"""The restorer's training as a task of the loop: first the VAE, where it begins with random
weights, then Stage II."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inscene import images
from inscene.face2scene import ranks
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.face2scene.updates import Scalars
from inscene.faces.align import ByteImage
from inscene.quality.psnr import psnr_y
from inscene.seeds import Draws
from inscene.training.order import WHOLE, Share
from inscene.training.restorer.beginning import PAIRS, standardise
from inscene.training.restorer.data import (
    CropSource,
    Examples,
    image_of,
    micro_batches,
    pair_of,
    tensor_of,
)
from inscene.training.restorer.model import (
    build_critic,
    build_perceptual,
    with_scaling_factor,
)
from inscene.training.restorer.pretrain_vae import VaeTraining, reconstructed, scaling_factor
from inscene.training.restorer.recipe import RestorerRecipe
from inscene.training.restorer.samples import Samples
from inscene.training.restorer.stage import StageTwoTraining
from inscene.training.restorer.validation import Validation
from inscene.training.state import State

SCALING_BATCHES = 8
"""Of the VAE's last ones: latents of so many are measured for their scale."""


class RestorerBatches:
    """What each step is trained on: small crops as long as the VAE is, then those of the
    restorer."""

    def __init__(self, recipe: RestorerRecipe, samples: Samples) -> None:
        vae, choices = recipe.pretrain_vae, recipe.data
        self.vae_steps, self._unit = vae.steps, recipe.micro_batch
        self._batch = recipe.batch
        # A scene need not be larger than some crops, and nobody looks at faces.
        small = choices.model_copy(
            update={
                "crop_px": vae.crop_px,
                "scene_px": max(vae.crop_px, min(choices.scene_px, 4 * vae.crop_px)),
                "faces": choices.faces.model_copy(update={"stand_in": False}),
            }
        )
        seed = Draws(recipe.seed, "vae").seed("order")
        self._vae = CropSource(samples.train, small, batch=vae.batch, seed=seed)
        self._crops = CropSource(samples.train, choices, batch=recipe.batch, seed=recipe.seed)

    def batch(self, step: int, share: Share = WHOLE) -> Examples:
        if step < self.vae_steps:
            return self._vae.batch(step, share, self._unit)
        return self._crops.batch(step - self.vae_steps, share, self._unit)

    def face_pairs(self, samples: int) -> Iterator[FacePair]:
        """Of the restorer's first ``samples`` samples, those that have one."""
        for step in range(-(-samples // self._batch)):
            for one in self._crops.batch(step):
                pair = pair_of(one.face, torch.device("cpu"))
                if pair is not None:
                    yield pair


class RestorerTask:
    """Steps are numbered from the first of the VAE's."""

    def __init__(
        self,
        recipe: RestorerRecipe,
        samples: Samples,
        pipeline: Face2ScenePipeline,
        device: torch.device,
        pictures: Path,
    ) -> None:
        """``pictures`` is the folder for validation's. Raises as :func:`build_critic`,
        :func:`build_perceptual` and :class:`Validation`."""
        self.recipe, self.pipeline, self.device = recipe, pipeline.to(device), device
        self.data = RestorerBatches(recipe, samples)
        self.vae_steps, self.steps = self.data.vae_steps, self.data.vae_steps + recipe.steps
        held = samples.validation
        self._validation = (
            Validation(held, recipe.data, crop_px=recipe.validation.crop_px, seed=recipe.seed)
            if held
            else None
        )
        self._pictures = pictures
        self._share = Share(ranks.rank(), ranks.count())
        # Found missing now, and not after the VAE's hours.
        self._critic, self._perceptual = build_critic(recipe), build_perceptual(recipe)
        self._vae: VaeTraining | None = None
        self._restorer: StageTwoTraining | None = None
        if self.vae_steps:
            self.images_per_step = recipe.pretrain_vae.batch
            self._vae = VaeTraining(pipeline.restorer.vae, recipe.pretrain_vae)
        else:
            self._begin_restorer()

    def step(self, batch: Examples, step: int) -> Scalars:
        if step < self.vae_steps:
            scalars = self._vae_step(batch, step)
        else:
            if self._restorer is None:
                self._end_vae()
            assert self._restorer is not None
            parts = micro_batches(batch, self.recipe.micro_batch, self.device)
            rngs = self._generators(step, self.recipe.batch, [len(one.lq) for one in parts])
            scalars = self._restorer.step(parts, step - self.vae_steps, rngs)
        replaced = ranks.sum_of(sum(one.replaced for one in batch))
        return scalars | ({"unusable": float(replaced)} if replaced else {})

    def validate(self, done: int) -> Scalars:
        if self._validation is None:
            return {}
        if self._restorer is None:
            return self._validate_vae(done)
        outputs = self._restored()
        self._draw(outputs, done)
        return self._validation.measure(outputs)

    def state(self) -> State:
        tensors = {name: one.detach() for name, one in self._kept_weights().items()}
        state: dict[str, Any] = {"weights": tensors}
        if self._restorer is None:
            assert self._vae is not None
            return state | {"phase": "vae", "optimiser": self._vae.optimiser.state_dict()}
        factor = self.pipeline.config.scaling_factor
        return state | {
            "phase": "restorer", "scaling_factor": factor, **self._restorer.state()
        }  # fmt: skip

    def load(self, state: State) -> None:
        if state["phase"] == "restorer" and self._restorer is None:
            self._begin_restorer()
        weights = self._kept_weights()
        _must_be_same(weights, state["weights"])
        with torch.no_grad():
            for name, one in weights.items():
                one.copy_(state["weights"][name])
        if self._restorer is None:
            assert self._vae is not None
            self._vae.optimiser.load_state_dict(dict(state["optimiser"]))
            return
        with_scaling_factor(self.pipeline, state["scaling_factor"])
        self._restorer.load(state)

    def checkpoint(self, folder: Path) -> None:
        with self._means():
            self.pipeline.save_pretrained(folder)

    def save_batch(self, batch: Examples, folder: Path) -> None:
        """Each sample's images as PNG, and ``samples.json`` with what they are."""
        listed = []
        for number, one in enumerate(batch):
            files = {"lq": one.lq, "hq": one.hq}
            if one.face is not None:
                files |= {"face_lq": one.face[0], "face_hq": one.face[1]}
            for name, image in files.items():
                (folder / f"{number:03d}.{name}.png").write_bytes(images.encode_png(image))
            listed.append(
                {"sample_id": one.sample_id, "version": one.version, "face_from": one.face_from}
            )
        (folder / "samples.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")

    # -- The VAE --------------------------------------------------------------------------------

    def _vae_step(self, batch: Examples, step: int) -> Scalars:
        assert self._vae is not None
        size, unit = self.recipe.pretrain_vae.batch, self.recipe.micro_batch
        sizes = [min(unit, len(batch) - at) for at in range(0, len(batch), unit)]
        rngs = self._generators(step, size, sizes)
        whole = torch.Generator().manual_seed(Draws(self.recipe.seed, "step", step).seed("noise"))
        parts = self._vae_images(batch, self._degraded(whole))
        scalars = self._vae.step(parts, rngs, step)
        kl = self.recipe.pretrain_vae.kl
        return scalars | {"loss": scalars["vae_pixel"] + kl * scalars["vae_kl"]}

    def _generators(self, step: int, count: int, sizes: Sequence[int]) -> list[torch.Generator]:
        """One for each micro-batch, by the place of its first sample among the step's ``count``:
        the same one whichever rank has it."""
        place, found = self._share.start(count, self.recipe.micro_batch), []
        for size in sizes:
            draws = Draws(self.recipe.seed, "step", step, place)
            found.append(torch.Generator().manual_seed(draws.seed("noise")))
            place += size
        return found

    def _degraded(self, rng: torch.Generator, share: Share | None = None) -> Sequence[bool]:
        """Which samples of a VAE batch are to be LQ images, as far as they are in the share."""
        chosen = self.recipe.pretrain_vae
        drawn = torch.rand(chosen.batch, generator=rng) < chosen.degraded
        return (share or self._share).of(drawn.tolist(), self.recipe.micro_batch)

    def _vae_images(self, batch: Examples, degraded: Sequence[bool]) -> list[Tensor]:
        """Micro-batches of HQ and LQ crops."""
        chosen = [
            tensor_of(one.lq if is_degraded else one.hq)
            for one, is_degraded in zip(batch, degraded, strict=True)
        ]
        stacked = torch.stack(chosen).to(self.device)
        return list(torch.split(stacked, self.recipe.micro_batch))

    def _end_vae(self) -> None:
        """What the latents' scale is follows from the weights and from batches that are given."""
        assert self._vae is not None
        first = max(0, self.vae_steps - SCALING_BATCHES)
        rng = torch.Generator().manual_seed(Draws(self.recipe.seed, "scale").seed("noise"))
        parts = [
            part
            for step in range(first, self.vae_steps)
            for part in self._vae_images(self.data.batch(step), self._degraded(rng, WHOLE))
        ]
        factor = scaling_factor(self._vae.vae, parts)
        with_scaling_factor(self.pipeline, factor)
        self._begin_restorer()

    def _validate_vae(self, done: int) -> Scalars:
        """How well the VAE keeps clean scenes: a bound of what the restorer can reach."""
        assert self._validation is not None
        vae, outputs = self.pipeline.restorer.vae, list[ByteImage]()
        for one in self._validation.scenes:
            hq = tensor_of(one.hq)[None].to(self.device)
            outputs.append(image_of(reconstructed(vae, hq)[0]))
        self._draw(outputs, done)
        scores = [
            psnr_y(out, one.hq) for out, one in zip(outputs, self._validation.scenes, strict=True)
        ]
        # The best checkpoint is one of the restorer's: this is none.
        return {"vae_psnr": sum(scores) / len(scores), "psnr": math.nan}

    # -- Stage II -------------------------------------------------------------------------------

    def _begin_restorer(self) -> None:
        self.images_per_step = self.recipe.batch
        self._vae = None
        model, tokens = self.recipe.model, self.pipeline.config.token_scales
        if model.first_patches == "standardised" and model.start is None and tokens:
            standardise(self.pipeline, self.data.face_pairs(4 * PAIRS))  # not all have a face
        self._restorer = StageTwoTraining(
            self.recipe,
            self.pipeline,
            self._critic.to(self.device),
            self._perceptual.to(self.device),
        )

    def _restored(self) -> list[ByteImage]:
        assert self._validation is not None
        try:
            with self._means():
                return self._validation.restored(self.pipeline, self.recipe.micro_batch)
        finally:
            if self._restorer is not None:
                self._restorer.generator.train()

    def _draw(self, outputs: Sequence[ByteImage], done: int) -> None:
        rows = self.recipe.validation.grid
        if self._validation is None or not rows:
            return
        self._pictures.mkdir(parents=True, exist_ok=True)
        picture = self._pictures / f"step-{done:08d}.png"
        fresh = picture.with_name(f".{picture.name}.tmp-{os.getpid()}")
        fresh.write_bytes(images.encode_png(self._validation.grid(outputs, rows)))
        os.replace(fresh, picture)

    def _means(self) -> Any:
        mean = None if self._restorer is None else self._restorer.mean
        return nullcontext() if mean is None else mean.in_place()

    def _kept_weights(self) -> dict[str, Tensor]:
        """All of the model that training changes or that a seed made. A base that others publish
        is neither, and too large to be written again and again."""
        parts: dict[str, nn.Module] = {
            "vae": self.pipeline.restorer.vae,
            "unet": self.pipeline.restorer.unet,
            "mapnet": self.pipeline.mapnet,
        }
        everything = self.pipeline.config.base is None
        return {
            f"{part}.{name}": one
            for part, module in parts.items()
            for name, one in module.named_parameters()
            if everything or one.requires_grad
        }


def _must_be_same(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    if ours.keys() != theirs.keys():
        raise ValueError(f"other weights: {sorted(ours.keys() ^ theirs.keys())[:4]}")
