"""One step in closed form is the scheduler's."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.face2scene.config import Face2SceneConfig, Schedule
from inscene.face2scene.schedule import OneStep


def _scheduler(schedule: Schedule) -> DDPMScheduler:
    scheduler = DDPMScheduler(
        num_train_timesteps=schedule.train_timesteps,
        beta_start=schedule.beta_start,
        beta_end=schedule.beta_end,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        clip_sample=False,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(1)
    return scheduler


def test_it_is_the_schedulers_only_step():
    scheduler = _scheduler(Schedule())
    assert scheduler.timesteps.tolist() == [999]
    generator = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(2, 2, 4, 16, 16, generator=generator)
    stepped = scheduler.step(noise, 999, latents, generator=generator)
    mine = OneStep.of(Face2SceneConfig()).x0(latents, noise)
    torch.testing.assert_close(mine, stepped.pred_original_sample, atol=3e-5, rtol=1e-6)
    torch.testing.assert_close(mine, stepped.prev_sample, atol=3e-5, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(timestep=st.integers(0, 999), seed=st.integers(0, 99))
def test_at_any_step_it_is_the_schedulers_guess(timestep, seed):
    schedule = Schedule(timestep=timestep)
    latents, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    scheduler = _scheduler(schedule)
    scheduler.set_timesteps(1000)
    guess = scheduler.step(noise, timestep, latents).pred_original_sample
    mine = OneStep.of(Face2SceneConfig(schedule=schedule)).x0(latents, noise)
    torch.testing.assert_close(mine, guess, atol=3e-5, rtol=3e-6)


def test_gains():
    step = OneStep.of(Face2SceneConfig())
    assert step.alpha_bar == pytest.approx(0.0046601, abs=1e-7)
    assert (step.latent_gain, step.noise_gain) == pytest.approx((14.6488, 14.6146), abs=1e-4)
    early = OneStep.of(Face2SceneConfig(schedule=Schedule(timestep=249)))
    assert early.alpha_bar == pytest.approx(0.6754, abs=1e-4)
    assert (early.latent_gain, early.noise_gain) == pytest.approx((1.217, 0.693), abs=1e-3)


def test_half_precision_is_calculated_in_single():
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    noise = (latents + 0.001).bfloat16()  # they nearly cancel
    latents = latents.bfloat16()
    step = OneStep.of(Face2SceneConfig())
    exact = step.x0(latents.double().float(), noise.double().float())
    result = step.x0(latents, noise)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result, exact.bfloat16(), atol=0, rtol=0)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_no_such_step(value):
    with pytest.raises(ValueError, match="between 0 and 1"):
        OneStep(value)
