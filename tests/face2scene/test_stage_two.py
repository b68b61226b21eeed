"""One training step of the restorer: who is updated by what, and by how much."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from inscene.face2scene.discriminator import (
    Augment,
    Discriminator,
    RandomBackbone,
    Targets,
    towards,
)
from inscene.face2scene.frozen import frozen
from inscene.face2scene.perceptual import RandomPerceptual
from inscene.face2scene.stage_two import (
    LossWeights,
    Optimisation,
    StageTwo,
    StageTwoBatch,
    StageTwoSettings,
    discriminator_optimiser,
)
from inscene.face2scene.updates import NonFiniteLossError

NOTHING = Augment(brightness=0, saturation=0, contrast=0, translation=0, cutout=0)
ONLY_PIXELS = LossWeights(pixel=1, perceptual=0, adversarial=0)


class Toy(nn.Module):
    """A generator of two convolutions, which writes down how it was called."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 3, 3, padding=1)
            )
        self.prompt = nn.Parameter(torch.zeros(2))
        self.calls: list[list[bool]] = []

    def forward(
        self, lq: Tensor, negative: Tensor, pairs: Sequence[None], rng: torch.Generator
    ) -> Tensor:
        self.calls.append(negative.tolist())
        return lq + self.layers(lq) + self.prompt[negative.long()].view(-1, 1, 1, 1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(seed: int = 1, count: int = 4, side: int = 16) -> StageTwoBatch:
    hq = 2 * torch.rand((count, 3, side, side), generator=seeded(seed)) - 1
    lq = hq + 0.2 * torch.randn(hq.shape, generator=seeded(seed + 1000))
    return StageTwoBatch(lq.clamp(-1, 1), hq, [None] * count)


def divided(whole: StageTwoBatch, sizes: Sequence[int]) -> list[StageTwoBatch]:
    parts = zip(whole.lq.split(list(sizes)), whole.hq.split(list(sizes)), strict=True)
    return [StageTwoBatch(lq, hq, [None] * len(lq)) for lq, hq in parts]


class Recording(torch.optim.SGD):
    """Keeps the gradients of each step, as they were."""

    def __init__(self, parameters: Sequence[nn.Parameter], rate: float) -> None:
        super().__init__(parameters, lr=rate)
        self.seen: list[list[Tensor | None]] = []

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        parameters = self.param_groups[0]["params"]
        self.seen.append([None if one.grad is None else one.grad.clone() for one in parameters])
        super().step(closure)


def made(
    augment: Augment = NOTHING, rate: float = 0.0, clip_norm: float = 1e9, **options: object
) -> StageTwo:
    generator = Toy()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        discriminator = Discriminator(RandomBackbone(side_px=32), hidden=4, augment=augment)
    return StageTwo(
        generator,
        discriminator,
        RandomPerceptual(),
        Recording([*generator.parameters()], rate),
        Recording([*discriminator.heads.parameters()], rate),
        StageTwoSettings(clip_norm=clip_norm, **options),  # type: ignore[arg-type]
    )


def state_of(module: nn.Module) -> list[Tensor]:
    return [one.clone() for one in module.state_dict().values()]


def same(one: Sequence[Tensor | None], other: Sequence[Tensor | None], atol: float = 1e-6) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(
        (a is None) == (b is None) and (a is None or torch.allclose(a, b, atol=atol, rtol=1e-4))
        for a, b in pairs
    )


# -- What is in the settings --------------------------------------------------------------------


def test_the_settings_are_s3diffs() -> None:
    assert StageTwoSettings().model_dump() == {
        "weights": {"pixel": 2.0, "perceptual": 5.0, "adversarial": 0.5},
        "targets": {"real": 0.8, "fake": 0.0, "generator": 0.8},
        "negative_probability": 0.05,
        "update_mode": "sequential",
        "colour_fix": "none",
        "clip_norm": 1.0,
        "precision": "float32",
    }
    assert StageTwoSettings.of_family("sd-turbo").update_mode == "sequential"
    assert StageTwoSettings.of_family("tiny").update_mode == "joint"
    group = discriminator_optimiser(made().discriminator, Optimisation()).param_groups[0]
    wanted = {"lr": 2e-5, "betas": (0.9, 0.999), "weight_decay": 1e-2, "eps": 1e-8}
    assert {name: group[name] for name in wanted} == wanted


# -- The discriminator is left alone ------------------------------------------------------------


def test_no_gradient_of_the_generators_loss_stays_in_the_discriminator() -> None:
    """S3Diff, issue 25."""
    stage = made(rate=0.1)
    before = state_of(stage.discriminator)
    scalars, fakes = stage.adversarial(divided(batch(), [2, 2]), seeded())
    assert all(one.grad is None for one in stage.discriminator.parameters())
    assert same(before, state_of(stage.discriminator), atol=0)  # spectral norms have buffers
    assert all(one.requires_grad for one in stage.discriminator.heads.parameters())
    assert stage.discriminator.heads.training
    assert scalars["adversarial_gradient"] > 0
    assert [fake.requires_grad for fake in fakes] == [False, False]


@pytest.mark.parametrize("mode", ["sequential", "joint"])
def test_the_discriminators_gradients_are_those_of_its_own_loss(mode: str) -> None:
    stage = made(rate=0.1, update_mode=mode, negative_probability=0)
    other = copy.deepcopy(stage.discriminator)
    optimiser = stage.discriminator_optimiser
    fakes = []
    stage.generator.register_forward_hook(lambda *call: fakes.append(call[-1].detach()))
    stage.step([batch()], seeded())
    logits = other(torch.cat([batch().hq, fakes[-1]]), seeded())
    real, fake = [one[:4] for one in logits], [one[4:] for one in logits]
    (0.5 * (towards(real, 0.8).mean() + towards(fake, 0.0).mean())).backward()
    (seen,) = optimiser.seen  # type: ignore[attr-defined]
    assert same(seen, [one.grad for one in other.heads.parameters()])


def test_frozen_comes_back_after_an_error() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout().eval())
    module[0].bias.requires_grad_(False)

    def fail() -> None:
        with frozen(module):
            assert not any(one.requires_grad for one in module.parameters())
            assert not any(one.training for one in module.modules())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [one.requires_grad for one in module.parameters()] == [True, False, True, True]
    assert [one.training for one in module.modules()] == [True, True, True, False]


# -- Accumulation -------------------------------------------------------------------------------


@settings(max_examples=6, deadline=None)
@given(st.sampled_from([[1, 1, 1, 1], [1, 3], [2, 1, 1]]), st.booleans(), st.integers(0, 2**20))
def test_micro_batches_are_one_batch(sizes: list[int], joint: bool, seed: int) -> None:
    """All three updates, with nothing of one loss in the update of another."""
    mode = "joint" if joint else "sequential"
    one, many = (
        made(update_mode=mode, negative_probability=0.5),
        made(update_mode=mode, negative_probability=0.5),
    )
    for stage in (one, many):
        # Spectral norms' buffers follow the passes, of which one batch has fewer.
        stage.discriminator.eval()
    scalars = one.step([batch(seed)], seeded(seed))
    again = many.step(divided(batch(seed), sizes), seeded(seed))
    assert again == pytest.approx(scalars, rel=1e-3)
    for optimiser in ("generator_optimiser", "discriminator_optimiser"):
        expected, found = getattr(one, optimiser).seen, getattr(many, optimiser).seen
        assert len(expected) == len(found) == (1 if joint or "disc" in optimiser else 2)
        assert all(same(*pair) for pair in zip(expected, found, strict=True))


def test_the_reconstruction_step_is_that_of_the_reconstruction_alone() -> None:
    """S3Diff's loop lets gradients of the adversarial loss of earlier micro-batches into it."""
    stage = made(weights=LossWeights(pixel=2, perceptual=0, adversarial=0.5))
    micro = divided(batch(), [1, 1, 1, 1])
    stage.step(micro, seeded(3))
    stage.step(micro, seeded(3))
    reconstructions = stage.generator_optimiser.seen[::2]  # type: ignore[attr-defined]
    negative = torch.tensor([one for call in stage.generator.calls[:4] for one in call])
    toy, whole = Toy(), batch()
    target = torch.where(negative.view(-1, 1, 1, 1), whole.lq, whole.hq)
    (2 * (toy(whole.lq, negative, [None] * 4, seeded()) - target).square().mean()).backward()
    for seen in reconstructions:
        assert same(seen, [one.grad for one in toy.parameters()])


def test_micro_batches_may_differ_in_size() -> None:
    stage = made(weights=ONLY_PIXELS, negative_probability=0)
    stage.step([batch(1, 1, 16), batch(2, 3, 24)], seeded())
    toy = Toy()
    for one, count in ((batch(1, 1, 16), 1), (batch(2, 3, 24), 3)):
        prompts = torch.zeros(count, dtype=torch.bool)
        loss = (toy(one.lq, prompts, [], seeded()) - one.hq).square().mean()
        (loss * count / 4).backward()
    (seen, _) = stage.generator_optimiser.seen  # type: ignore[attr-defined]
    assert same(seen, [one.grad for one in toy.parameters()])


# -- Prompts ------------------------------------------------------------------------------------


def test_sequential_has_negatives_in_the_reconstruction_only() -> None:
    stage = made(negative_probability=1.0)
    scalars = stage.step(divided(batch(), [2, 2]), seeded())
    assert stage.generator.calls == [[True, True]] * 2 + [[False, False]] * 2
    assert scalars["negatives"] == 1


def test_negatives_aim_at_their_own_lq() -> None:
    """A generator that returns what it is given has nothing to learn from them."""
    both = LossWeights(pixel=1, perceptual=1, adversarial=0)
    stage = made(negative_probability=1.0, weights=both)
    for parameter in stage.generator.parameters():
        parameter.data.zero_()
    scalars = stage.step([batch()], seeded())
    assert scalars["pixel"] == scalars["perceptual"] == 0
    stage = made(negative_probability=0.0, weights=ONLY_PIXELS)
    scalars = stage.step([batch()], seeded())
    assert scalars["pixel"] > 0.01
    assert "perceptual" not in scalars  # which weighs nothing


def test_losses_may_look_at_what_the_colour_fix_leaves() -> None:
    """Of a generator that makes everything brighter: which the fix takes back."""
    losses = {}
    for kind in ("none", "wavelet"):
        stage = made(negative_probability=0.0, weights=ONLY_PIXELS, colour_fix=kind)
        for parameter in stage.generator.parameters():
            parameter.data.zero_()
        as_it_was = stage.step([batch()], seeded())["pixel"]
        stage.generator.prompt.data.fill_(0.25)  # type: ignore[union-attr]
        losses[kind] = stage.step([batch()], seeded())["pixel"] - as_it_was
    assert losses["none"] > 0.03
    assert losses["wavelet"] == pytest.approx(0, abs=1e-6)


def test_joint_leaves_negatives_out_of_the_adversarial_losses() -> None:
    """By the generator's parameter that only negatives use."""
    stage = made(
        update_mode="joint",
        negative_probability=0.5,
        weights=LossWeights(pixel=0, perceptual=0, adversarial=1),
    )
    scalars = stage.step([batch()], seeded(1))
    assert 0 < scalars["negatives"] < 1
    assert len(stage.generator.calls) == 1
    seen = stage.generator_optimiser.seen[0]  # type: ignore[attr-defined]
    by_prompt = dict(zip((n for n, _ in stage.generator.named_parameters()), seen, strict=True))
    assert by_prompt["prompt"][0] != 0
    assert by_prompt["prompt"][1] == 0


def test_a_joint_step_of_negatives_only_has_no_adversarial_loss() -> None:
    stage = made(update_mode="joint", negative_probability=1.0)
    scalars = stage.step([batch()], seeded())
    assert scalars["adversarial"] == scalars["fake"] == 0
    assert scalars["real"] > 0
    assert scalars["pixel"] > 0


# -- The terms ----------------------------------------------------------------------------------


def test_weights_weigh_the_terms() -> None:
    """The joint gradient is the weighted sum of the gradients of its terms."""
    gradients = []
    for weights in (
        {"pixel": 1.0, "perceptual": 0.0, "adversarial": 0.0},
        {"pixel": 0.0, "perceptual": 1.0, "adversarial": 0.0},
        {"pixel": 0.0, "perceptual": 0.0, "adversarial": 1.0},
        {"pixel": 2.0, "perceptual": 5.0, "adversarial": 0.5},
    ):
        stage = made(update_mode="joint", weights=LossWeights(**weights), negative_probability=0)
        stage.step([batch()], seeded())
        gradients.append(stage.generator_optimiser.seen[0][0])  # type: ignore[attr-defined]
    pixel, perceptual, adversarial, whole = gradients
    wanted = 2 * pixel + 5 * perceptual + 0.5 * adversarial
    assert torch.allclose(whole, wanted, rtol=0, atol=float(adversarial.abs().max()) / 1000)


@pytest.mark.parametrize("mode", ["sequential", "joint"])
def test_the_generator_aims_at_its_own_target_with_the_samples_that_count(mode: str) -> None:
    stage = made(
        update_mode=mode,
        negative_probability=0.5,
        targets=Targets(real=0.1, fake=0.2, generator=0.7),
    )
    stage.discriminator.eval()
    fakes = []
    stage.generator.register_forward_hook(lambda *call: fakes.append(call[-1].detach()))
    scalars = stage.step([batch()], seeded(1))
    negative = torch.tensor(stage.generator.calls[-1])
    assert bool(negative.any()) == (mode == "joint")
    restored, real = (
        [one.detach() for one in stage.discriminator(images, seeded())]
        for images in (fakes[-1], batch().hq)
    )
    assert scalars["adversarial"] == pytest.approx(towards(restored, 0.7)[~negative].mean().item())
    assert scalars["fake"] == pytest.approx(towards(restored, 0.2)[~negative].mean().item())
    assert scalars["real"] == pytest.approx(towards(real, 0.1).mean().item())


def test_joint_is_both_of_the_sequence_at_once() -> None:
    seen = []
    for mode in ("sequential", "joint"):
        stage = made(update_mode=mode, negative_probability=0)
        stage.discriminator.eval()
        stage.step([batch()], seeded())
        steps = stage.generator_optimiser.seen  # type: ignore[attr-defined]
        seen.append([sum(one) for one in zip(*steps, strict=True)])
    assert same(*seen)


def test_gradients_are_clipped_and_their_norm_is_reported() -> None:
    free, clipped = made(), made(clip_norm=1e-3)
    scalars = [stage.step([batch()], seeded()) for stage in (free, clipped)]
    assert scalars[0] == pytest.approx(scalars[1])
    for name, index in (("reconstruction_gradient", 0), ("adversarial_gradient", 1)):
        seen = clipped.generator_optimiser.seen[index]  # type: ignore[attr-defined]
        norm = torch.cat([one.flatten() for one in seen if one is not None]).norm()
        assert norm.item() == pytest.approx(1e-3, rel=1e-2)
        assert scalars[1][name] > 2e-3
    (seen,) = clipped.discriminator_optimiser.seen  # type: ignore[attr-defined]
    assert torch.cat([one.flatten() for one in seen]).norm().item() <= 1.001e-3


@pytest.mark.parametrize("mode", ["sequential", "joint"])
def test_training_restores(mode: str) -> None:
    stage = made(augment=Augment(), update_mode=mode, negative_probability=0)
    stage.generator_optimiser = torch.optim.AdamW(stage.generator.parameters(), lr=3e-3)
    stage.discriminator_optimiser = torch.optim.AdamW(stage.discriminator.heads.parameters())
    rng = seeded(5)
    shown = [stage.step([batch()], rng) for _ in range(25)]
    assert shown[-1]["pixel"] < 0.8 * shown[0]["pixel"]
    names = {"pixel", "perceptual", "adversarial", "real", "fake", "negatives"}
    assert names <= set(shown[0])
    assert {name for name in shown[0] if name not in names} == (
        {"generator_gradient", "discriminator_gradient"}
        if mode == "joint"
        else {"reconstruction_gradient", "adversarial_gradient", "discriminator_gradient"}
    )


def test_a_run_is_repeated_by_its_seed() -> None:
    results = []
    for _ in range(2):
        stage = made(augment=Augment(), rate=0.1)
        rng = seeded(7)
        for _ in range(2):
            stage.step(divided(batch(), [3, 1]), rng)
        results.append(state_of(stage.generator) + state_of(stage.discriminator.heads))
    assert same(*results, atol=0)


# -- Numbers that are none ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"), [(float("nan"), "pixel is nan"), (float("inf"), "pixel is inf")]
)
def test_a_loss_that_is_no_number_is_named_and_changes_nothing(wrong: float, named: str) -> None:
    stage = made(rate=0.1)
    whole = batch()
    whole.hq[2, 1, 3, 3] = wrong
    before = state_of(stage.generator)
    with pytest.raises(NonFiniteLossError, match=named) as caught:
        stage.step(divided(whole, [2, 2]), seeded())
    assert "learning rate" in caught.value.next_step
    assert same(before, state_of(stage.generator), atol=0)
    assert all(one.grad is None for one in stage.generator.parameters())


def test_a_gradient_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = made(rate=0.1, weights=ONLY_PIXELS)
    stage.generator.layers[2].weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(NonFiniteLossError, match="reconstruction_gradient is"):
        stage.step([batch()], seeded())


# -- Ways to run it -----------------------------------------------------------------------------


def test_bfloat16_is_autocast() -> None:
    stages = [made(precision=one, negative_probability=0) for one in ("float32", "bfloat16")]
    dtypes = []
    stages[1].generator.layers[0].register_forward_hook(lambda *call: dtypes.append(call[-1].dtype))
    full, half = (stage.step([batch()], seeded()) for stage in stages)
    assert set(dtypes) == {torch.bfloat16}
    assert half == pytest.approx(full, rel=0.05)
    assert half != full
    for seen in stages[1].generator_optimiser.seen:  # type: ignore[attr-defined]
        assert all(one.dtype == torch.float32 for one in seen if one is not None)


@pytest.mark.parametrize("mode", ["sequential", "joint"])
def test_distributed_wrappers_change_nothing(mode: str, tmp_path) -> None:
    """One rank; what its ranks exchange, and when, is torch's."""
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    alone, wrapped = (made(update_mode=mode, negative_probability=0.5) for _ in range(2))
    store = f"file://{tmp_path / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        wrapped.generator = DistributedDataParallel(wrapped.generator, find_unused_parameters=True)
        wrapped.discriminator = DistributedDataParallel(wrapped.discriminator)
        micro = divided(batch(), [2, 1, 1])
        for _ in range(2):
            one, other = alone.step(micro, seeded(2)), wrapped.step(micro, seeded(2))
            assert other == pytest.approx(one)
    finally:
        distributed.destroy_process_group()
    for optimiser in ("generator_optimiser", "discriminator_optimiser"):
        pairs = zip(getattr(alone, optimiser).seen, getattr(wrapped, optimiser).seen, strict=True)
        for expected, found in pairs:
            assert same([one for one in expected if one is not None], [*filter_none(found)])


def filter_none(tensors: Sequence[Tensor | None]) -> list[Tensor]:
    return [one for one in tensors if one is not None]


def test_wrong_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="lq and hq of one size"):
        StageTwoBatch(torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 16, 16), [None] * 2)
    with pytest.raises(ValueError, match="and 1"):
        StageTwoBatch(torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8), [None])
    with pytest.raises(ValueError, match="needs a batch"):
        made().step([], seeded())
