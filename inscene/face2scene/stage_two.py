"""Stage II: one training step of the restorer against the discriminator.

``L = 2·MSE + 5·LPIPS + 0.5·L_G``. Two ways to take it: S3Diff's sequence of three updates, each
over all micro-batches before the next begins,

    (a) reconstruction, with positive and negative prompts,
    (b) the generator's adversarial loss on a fresh forward pass, positive prompts only,
    (c) the discriminator, on real images and the results of (b);

or ``joint``, where (a) and (b) are one forward pass. The discriminator is frozen in (b): else its
gradients would be added to those of (c) (S3Diff, issue 25).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from inscene.face2scene import colour, negatives, ranks
from inscene.face2scene.config import ColourFix, FamilyName, Section
from inscene.face2scene.discriminator import Discriminator, Targets, towards
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.frozen import frozen
from inscene.face2scene.generator import TrainableRestorer
from inscene.face2scene.negatives import Rng
from inscene.face2scene.perceptual import Perceptual
from inscene.face2scene.updates import Scalars, Update, last_synchronises

UpdateMode = Literal["sequential", "joint"]
Weight = Annotated[float, Field(ge=0)]


class LossWeights(Section):
    """[S3Diff training_utils.py] The terms are the paper's; its weights are lost."""

    pixel: Weight = 2.0
    """Of the mean squared error, images in [-1, 1]."""
    perceptual: Weight = 5.0
    """Of LPIPS on VGG-16. 0: it is not computed."""
    adversarial: Weight = 0.5
    """Of both sides' cross-entropy."""


class Optimisation(Section):
    """Of AdamW, constant over the training; no running mean of weights is kept."""

    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    """[S3Diff training_utils.py] For the generator and the discriminator; the paper's is lost."""
    mapnet_learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    """[chosen] The same: nothing says otherwise."""
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """[S3Diff], as the three below."""
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    epsilon: Annotated[float, Field(gt=0)] = 1e-8


class StageTwoSettings(Section):
    weights: LossWeights = LossWeights()
    targets: Targets = Targets()
    negative_probability: Annotated[float, Field(ge=0, le=1)] = negatives.PROBABILITY
    """[S3Diff training_utils.py] Of a sample to have the LQ image as its target, and the negative
    prompt [paper: but for the number]."""
    update_mode: UpdateMode = "sequential"
    """[S3Diff train_s3diff.py]"""
    colour_fix: ColourFix = "none"
    """What is done to restored images before the losses look at them. [S3Diff] Nothing. [chosen] of
    small models the fix that inference ends with: their VAE hardly keeps what is even in an image,
    and otherwise most of the loss is about what is then replaced."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    """[S3Diff] Largest norm of the gradients, of each optimiser."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """[S3Diff] ``bfloat16`` [chosen] is autocast: weights, optimisers and losses stay float32."""

    @classmethod
    def of_family(cls, family: FamilyName) -> StageTwoSettings:
        """[chosen] Small models, which are for trying out, take the joint update: half the time."""
        return cls(update_mode="sequential" if family == "sd-turbo" else "joint")


@dataclass(frozen=True)
class StageTwoBatch:
    """A micro-batch. Micro-batches of a step may differ in size."""

    lq: Tensor
    """B×3×H×W in [-1, 1], degraded, as large as ``hq``; sides are multiples of ``pad_multiple_px``.
    A crop of the scene."""
    hq: Tensor
    """B×3×H×W in [-1, 1]."""
    pairs: Sequence[FacePair | None]
    """Of the whole scene: the face need not be inside the crop."""

    def __post_init__(self) -> None:
        if self.lq.shape != self.hq.shape or self.lq.ndim != 4 or len(self.lq) != len(self.pairs):
            raise ValueError(
                "lq and hq of one size and as many face pairs are needed, got "
                f"{tuple(self.lq.shape)}, {tuple(self.hq.shape)} and {len(self.pairs)}"
            )


def generator_optimiser(generator: TrainableRestorer, settings: Optimisation) -> AdamW:
    """Of the parameters that are not frozen; MapNet's have a learning rate of their own."""
    mapnet, rate = generator.mapnet_parameters(), settings.mapnet_learning_rate
    return _adamw([*_group(generator.restorer_parameters()), *_group(mapnet, lr=rate)], settings)


def discriminator_optimiser(discriminator: Discriminator, settings: Optimisation) -> AdamW:
    return _adamw(_group(list(discriminator.heads.parameters())), settings)


class StageTwo:
    """The steps, without a loop, data or files.

    ``generator`` is called as :class:`~inscene.face2scene.generator.TrainableRestorer` is; it and
    ``discriminator`` may be wrapped in DistributedDataParallel, and need not be: of several ranks,
    each has its part of the batch, and a step averages their gradients. The optimisers have all
    parameters that are trained. Random numbers come from the ``rng`` of each call, which must be on
    the CPU: so they are the same on all devices. It is one for all micro-batches, in their order,
    or one for each of them: then it does not matter which rank has which.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        perceptual: Perceptual,
        generator_optimiser: Optimizer,
        discriminator_optimiser: Optimizer,
        settings: StageTwoSettings,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.perceptual, self.settings = perceptual, settings
        self.generator_optimiser = generator_optimiser
        self.discriminator_optimiser = discriminator_optimiser

    def step(self, batches: Sequence[StageTwoBatch], rng: Rng) -> Scalars:
        """One step over all of ``batches``, which count as one batch: every sample the same.

        Returns the unweighted losses as means over samples: ``pixel``, ``perceptual``,
        ``adversarial`` (the generator's), ``real`` and ``fake`` (the discriminator's); the norms of
        the gradients before clipping, ``*_gradient``; ``negatives``, the share of samples that were
        negatives.

        Raises ``NonFiniteLossError``; updates of the step before it have been made.
        """
        if not batches:
            raise ValueError("a step needs a batch")
        negative = self._draw_negatives(batches, rng)
        if self.settings.update_mode == "joint":
            scalars, fakes = self._joint(batches, negative, rng)
            positive = [~one for one in negative]
        else:
            scalars = self.reconstruct(batches, negative, rng)
            shown, fakes = self.adversarial(batches, rng)
            scalars |= shown
            positive = [torch.ones_like(one) for one in negative]
        scalars |= self.discriminate(batches, fakes, positive, rng)
        return scalars | {"negatives": negatives.share(negative)}

    def reconstruct(
        self, batches: Sequence[StageTwoBatch], negative: Sequence[Tensor], rng: Rng
    ) -> Scalars:
        """(a): towards HQ, or for the ``negative`` ones, B bool each, towards LQ."""
        update = Update(self.generator_optimiser)
        total = _count(batches)
        for index, (batch, named) in enumerate(zip(batches, negative, strict=True)):
            with last_synchronises(self.generator, index, batches):
                with self._autocast(batch):
                    restored = self._restored(batch, named, _of(rng, index))
                    loss, shown = self._reconstruction(batch, restored, named, total)
                update.add(loss, **shown)
        return update.apply(self.settings.clip_norm, "reconstruction_gradient")

    def adversarial(
        self, batches: Sequence[StageTwoBatch], rng: Rng
    ) -> tuple[Scalars, list[Tensor]]:
        """(b): towards what the discriminator takes for real. Also returns the restored images,
        detached."""
        update, fakes = Update(self.generator_optimiser), []
        total = _count(batches)
        with frozen(self.discriminator):
            for index, batch in enumerate(batches):
                everyone = torch.ones(len(batch.lq), dtype=torch.bool)
                with last_synchronises(self.generator, index, batches):
                    with self._autocast(batch):
                        draws = _of(rng, index)
                        restored = self._restored(batch, ~everyone, draws)
                        loss, shown = self._adversarial(restored, everyone, total, draws)
                    update.add(loss, **shown)
                fakes.append(restored.detach())
            scalars = update.apply(self.settings.clip_norm, "adversarial_gradient")
        return scalars, fakes

    def discriminate(
        self,
        batches: Sequence[StageTwoBatch],
        fakes: Sequence[Tensor],
        positive: Sequence[Tensor],
        rng: Rng,
    ) -> Scalars:
        """(c): tell HQ from ``fakes``, of which only the ``positive`` ones, B bool each, count: the
        others were not meant to look real.

        One update [chosen: S3Diff makes two, of the same sum].
        """
        update = Update(self.discriminator_optimiser)
        total, targets = _count(batches), self.settings.targets
        fake_total = _true(positive)
        weight = self.settings.weights.adversarial
        for index, (batch, fake, counts) in enumerate(zip(batches, fakes, positive, strict=True)):
            draws = _of(rng, index)
            with last_synchronises(self.discriminator, index, batches):
                with self._autocast(batch):
                    # In one pass, as spectral norms change their buffers in each.
                    logits = self.discriminator(torch.cat([batch.hq.to(fake), fake]), draws)
                size = len(fake)
                real_loss = towards([one[:size] for one in logits], targets.real).sum() / total
                fake_losses = towards([one[size:] for one in logits], targets.fake)
                fake_loss = (fake_losses * counts.to(fake_losses)).sum() / fake_total
                update.add(weight * (real_loss + fake_loss), real=real_loss, fake=fake_loss)
        scalars = update.apply(self.settings.clip_norm, "discriminator_gradient")
        ranks.same_buffers(self.discriminator)  # spectral norms change theirs in each pass
        return scalars

    def _joint(
        self, batches: Sequence[StageTwoBatch], negative: Sequence[Tensor], rng: Rng
    ) -> tuple[Scalars, list[Tensor]]:
        """(a) and (b) on one forward pass, in one update."""
        update, fakes = Update(self.generator_optimiser), []
        total, positives = _count(batches), _true([~one for one in negative])
        with frozen(self.discriminator):
            for index, (batch, named) in enumerate(zip(batches, negative, strict=True)):
                with last_synchronises(self.generator, index, batches):
                    with self._autocast(batch):
                        draws = _of(rng, index)
                        restored = self._restored(batch, named, draws)
                        loss, shown = self._reconstruction(batch, restored, named, total)
                        more, also_shown = self._adversarial(restored, ~named, positives, draws)
                    update.add(loss + more, **shown, **also_shown)
                fakes.append(restored.detach())
            scalars = update.apply(self.settings.clip_norm, "generator_gradient")
        return scalars, fakes

    def _restored(self, batch: StageTwoBatch, negative: Tensor, rng: torch.Generator) -> Tensor:
        restored: Tensor = self.generator(batch.lq, negative, batch.pairs, rng)
        return colour.fix(restored, batch.lq.to(restored), self.settings.colour_fix)

    def _reconstruction(
        self, batch: StageTwoBatch, restored: Tensor, negative: Tensor, total: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The batch's share of the weighted loss, and of each term."""
        restored = restored.float()
        target = negatives.targets(batch.lq, batch.hq, negative).to(restored)
        pixel = (restored - target).square().mean((1, 2, 3)).sum() / total
        weights, terms = self.settings.weights, {"pixel": pixel}
        loss = weights.pixel * pixel
        if weights.perceptual:
            terms["perceptual"] = self.perceptual(restored, target).sum() / total
            loss = loss + weights.perceptual * terms["perceptual"]
        return loss, terms

    def _adversarial(
        self, restored: Tensor, counts: Tensor, total: float, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The same of the generator's adversarial loss, over the samples that count."""
        # Not through DistributedDataParallel: here its ranks have nothing to exchange.
        discriminator = getattr(self.discriminator, "module", self.discriminator)
        losses = towards(discriminator(restored, rng), self.settings.targets.generator)
        loss = (losses * counts.to(losses)).sum() / total
        return self.settings.weights.adversarial * loss, {"adversarial": loss}

    def _draw_negatives(self, batches: Sequence[StageTwoBatch], rng: Rng) -> list[Tensor]:
        """Of one generator at once: how a batch is divided changes nothing."""
        sizes = [len(batch.lq) for batch in batches]
        return negatives.of_parts(sizes, rng, self.settings.negative_probability)

    def _autocast(self, batch: StageTwoBatch) -> torch.autocast:
        half = self.settings.precision == "bfloat16"
        return torch.autocast(batch.lq.device.type, torch.bfloat16, enabled=half)


def _of(rng: Rng, index: int) -> torch.Generator:
    return rng if isinstance(rng, torch.Generator) else rng[index]


def _count(batches: Sequence[StageTwoBatch]) -> float:
    """Samples of this rank; of several, of each on average."""
    return ranks.mean_count(sum(len(batch.lq) for batch in batches))


def _true(masks: Sequence[Tensor]) -> float:
    """How many samples count, as above; over all ranks at least 1, as a sum over none is divided by
    it."""
    found = ranks.mean_count(sum(int(mask.sum()) for mask in masks))
    return found or 1.0


def _group(parameters: list[nn.Parameter], **options: float) -> list[dict[str, Any]]:
    """None of no parameters, for a model without degradation tokens has none in MapNet."""
    return [{"params": parameters, **options}] if parameters else []


def _adamw(groups: list[dict[str, Any]], settings: Optimisation) -> AdamW:
    return AdamW(
        groups,
        lr=settings.learning_rate,
        betas=(settings.beta_1, settings.beta_2),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
    )
