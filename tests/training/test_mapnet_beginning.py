"""``model.first_patches: standardised``: what an untrained MapNet hears at first."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_restorer import tiny, write_photos
from torch import Tensor

from inscene.errors import RecipeError
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.training.restorer.beginning import standardise
from inscene.training.restorer.model import build_pipeline
from inscene.training.restorer.recipe import ModelChoice
from inscene.training.restorer.samples import Samples, list_samples
from inscene.training.restorer.task import RestorerTask

UNTRAINED = ModelChoice(family="tiny", fadex="untrained")
STANDARDISED = {"first_patches": "standardised"}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    folder = write_photos(tmp_path_factory.mktemp("beginning") / "photos", 5)
    return list_samples([str(folder)], seed=0, hold_back=1)


def pairs(count: int) -> list[FacePair]:
    """Of noise that differs in strength and colour."""
    rng = torch.Generator().manual_seed(0)
    sides = (33, 64, 80)  # the last is larger than training looks at
    found = []
    for side in (sides * count)[:count]:
        strength = torch.rand((2, 3, 1, 1), generator=rng)
        found.append(FacePair(*(strength * torch.randn((2, 3, side, side), generator=rng))))
    return found


def features(pipeline: Face2ScenePipeline, pair: FacePair) -> Tensor:
    """1 × C × H × W."""
    found: Tensor = pipeline.fadex.eval()(pair.hq[None], pair.lq[None]).features
    return found


@torch.no_grad()
def test_it_hears_the_same_of_standardised_features() -> None:
    begun, random = build_pipeline(UNTRAINED, 0), build_pipeline(UNTRAINED, 0)
    standardise(begun, pairs(12))
    side = begun.config.faces.train_max_side_px
    seen = torch.stack(
        [features(random, _middle(pair, side)).mean((2, 3))[0] for pair in pairs(12)]
    )
    mean, deviation = seen.mean(0), seen.std(0)
    assert deviation.min() > 0.01 * deviation.mean()  # none was kept from being amplified
    for pair in pairs(4):
        heard = features(begun, pair)
        standard = (heard - mean[:, None, None]) / deviation[:, None, None]
        inside = (..., slice(1, -1), slice(1, -1))  # the border's zeros are of the features as such
        ours, theirs = begun.mapnet.patches(heard)[inside], random.mapnet.patches(standard)[inside]
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def _middle(pair: FacePair, side: int) -> FacePair:
    at = max(0, (pair.hq.shape[-1] - side) // 2)
    cut = (..., slice(at, at + side), slice(at, at + side))
    return FacePair(hq=pair.hq[cut], lq=pair.lq[cut])


@torch.no_grad()
def test_tokens_of_different_pairs_are_less_alike() -> None:
    alike = {}
    for name in ("random", "standardised"):
        pipeline = build_pipeline(UNTRAINED, 0)
        if name == "standardised":
            standardise(pipeline, pairs(24))
        tokens = torch.stack([one for one in pipeline.tokens(pairs(24)[::2]) if one is not None])
        codes = torch.nn.functional.normalize(tokens.flatten(1), dim=1)
        alike[name] = (codes @ codes.T).triu(1).sum().item() / 66
    assert 1 - alike["standardised"] > 20 * (1 - alike["random"]) > 0


def test_all_but_the_first_convolution_is_as_the_seed_makes_it() -> None:
    begun, random = build_pipeline(UNTRAINED, 0), build_pipeline(UNTRAINED, 0)
    standardise(begun, pairs(4))
    changed = {
        f"{part}.{name}"
        for part in ("mapnet", "fadex")
        for name, one in getattr(begun, part).state_dict().items()
        if not torch.equal(one, getattr(random, part).state_dict()[name])
    }
    assert changed == {"mapnet.patches.weight", "mapnet.patches.bias"}


def test_pairs_that_tell_nothing() -> None:
    with pytest.raises(RecipeError, match="3 face pairs do not tell"):
        standardise(build_pipeline(UNTRAINED, 0), 3 * pairs(1))
    with pytest.raises(RecipeError, match="1 face pairs do not tell"):
        standardise(build_pipeline(UNTRAINED, 0), pairs(1))


@pytest.mark.parametrize("steps", [0, 1])
def test_a_training_begins_with_it(samples: Samples, steps: int) -> None:
    """Whether a VAE is trained before or not."""
    vae = {"steps": steps, "batch": 2, "crop_px": 32}
    begun, random = (
        _task(samples, tiny(model=choice, pretrain_vae=vae)) for choice in (STANDARDISED, {})
    )
    if steps:
        assert torch.equal(_patches(begun), _patches(random))
        begun.step(begun.data.batch(0), 0)
        begun._end_vae()
    assert not torch.equal(_patches(begun), _patches(random))
    again = _task(samples, tiny(model=STANDARDISED))
    if not steps:
        assert torch.equal(_patches(begun), _patches(again))


def test_a_model_to_begin_with_and_one_without_tokens_stay_as_they_are(
    samples: Samples, tmp_path: Path
) -> None:
    start = build_pipeline(UNTRAINED, 3)
    start.save_pretrained(tmp_path)
    choices = (
        {"start": str(tmp_path), "fadex": None, **STANDARDISED},
        {"token_scales": (), "fadex": None, **STANDARDISED},
    )
    for choice, seed in zip(choices, (3, 0), strict=True):
        task = _task(samples, tiny(model=choice))
        assert torch.equal(_patches(task), build_pipeline(UNTRAINED, seed).mapnet.patches.weight)


def _task(samples: Samples, recipe) -> RestorerTask:
    pipeline = build_pipeline(recipe.model, recipe.seed)
    return RestorerTask(recipe, samples, pipeline, torch.device("cpu"), Path("unused"))


def _patches(task: RestorerTask) -> Tensor:
    return task.pipeline.mapnet.patches.weight.detach().clone()
