"""The trainable whole: what gradients reach, and that it is what the pipeline runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from inscene.face2scene import guidance
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.families import find_family
from inscene.face2scene.generator import TrainableRestorer
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.face2scene.stage_two import Optimisation, generator_optimiser

TINY = find_family("tiny").config


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(seed: int, count: int = 2, side: int = 32) -> Tensor:
    return 2 * torch.rand((count, 3, side, side), generator=seeded(seed)) - 1


def pairs(seed: int = 5, *sides: int) -> list[FacePair | None]:
    return [
        FacePair(images(seed + side, 1, side)[0], images(seed - side, 1, side)[0])
        for side in sides or (32, 40)
    ]


def pipeline(**options: object) -> Face2ScenePipeline:
    made = Face2ScenePipeline.from_family("tiny", config=TINY.model_copy(update=options))
    with torch.no_grad():  # it begins at 0, where nothing that it is told matters
        made.restorer.unet.conv_out.weight.normal_(std=0.1, generator=seeded())
    return made


def positive(count: int = 2) -> Tensor:
    return torch.zeros(count, dtype=torch.bool)


def reached(model: TrainableRestorer) -> set[str]:
    return {
        ".".join(name.split(".")[:2])
        for name, one in model.named_parameters()
        if one.grad is not None and one.grad.abs().max() > 0
    }


@pytest.mark.parametrize("trainable", ["full", "unet", "lora"])
def test_gradients_reach_what_is_trained_and_nothing_else(trainable: str) -> None:
    parts = pipeline(trainable=trainable)
    model = TrainableRestorer(parts)
    model(images(1), positive(), pairs(), seeded()).square().mean().backward()
    names = reached(model)
    restorer = {name for name in names if name.startswith("restorer.")}
    assert restorer == {"restorer.unet", *(["restorer.vae"] if trainable != "unet" else [])}
    assert {name for name in names if name.startswith("mapnet")}
    assert not {name for name in names if name.startswith("fadex")}
    wrong = [
        name
        for name, one in model.named_parameters()
        if one.grad is not None and not one.requires_grad
    ]
    assert wrong == []
    if trainable == "lora":
        assert all(one.grad is None for one in parts.restorer.vae.decoder.parameters())
    expected = {id(one) for one in parts.restorer.trainable_parameters(parts.config)}
    assert {id(one) for one in model.restorer_parameters()} == expected
    assert len(model.mapnet_parameters()) == len(list(parts.mapnet.parameters()))


def test_it_is_the_pipelines_restorer() -> None:
    """Without the latents' sampling and at a scale of 1, both give the same image."""
    parts = pipeline(colour_fix="none")
    faces = pairs()
    with torch.no_grad():
        (expected,) = parts([images(1)[0]], faces[:1], guidance_scale=1.0)
        model = TrainableRestorer(parts)
        restorer = parts.restorer
        context = guidance.context(parts.prompts.positive, model._tokens(faces[:1]))
        found = restorer(images(1)[:1], context)[0]
    assert torch.allclose(found, expected, atol=1e-5)


def test_each_sample_has_its_prompt_its_tokens_and_the_draws_of_the_generator() -> None:
    model = TrainableRestorer(pipeline())
    faces, mixed = pairs(), torch.tensor([False, True])
    with torch.no_grad():
        both = [model(images(1), one, faces, seeded()) for one in (positive(), mixed)]
        assert torch.allclose(both[0][0], both[1][0], atol=1e-5)
        assert not torch.allclose(both[0][1], both[1][1], atol=1e-4)
        swapped = model(images(1), positive(), faces[::-1], seeded())
        assert not torch.allclose(both[0], swapped, atol=1e-5)
        assert torch.equal(both[0], model(images(1), positive(), faces, seeded()))
        assert not torch.equal(both[0], model(images(1), positive(), faces, seeded(1)))


def test_fadex_stays_in_evaluation_mode_and_keeps_its_statistics() -> None:
    parts = pipeline()
    before = {name: one.clone() for name, one in parts.fadex.state_dict().items()}
    owner = torch.nn.ModuleList([TrainableRestorer(parts)]).train()
    assert owner[0].restorer.unet.training
    assert not any(one.training for one in parts.fadex.modules())
    owner[0](images(1), positive(), pairs(), seeded())
    for name, tensor in parts.fadex.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_faces_are_cut_to_the_size_of_training() -> None:
    limits = TINY.faces.model_copy(update={"train_max_side_px": 32})
    model = TrainableRestorer(pipeline(faces=limits))
    (large,) = pairs(5, 64)
    assert large is not None
    middle = FacePair(large.lq[:, 16:48, 16:48], large.hq[:, 16:48, 16:48])
    with torch.no_grad():
        assert torch.equal(model._tokens([large]), model._tokens([middle]))


def test_scenes_without_faces_have_the_text_alone() -> None:
    model = TrainableRestorer(pipeline())
    widths = []
    model.restorer.unet.register_forward_hook(
        lambda *call: widths.append(call[2]["encoder_hidden_states"].shape[1]), with_kwargs=True
    )
    with torch.no_grad():
        model(images(1), positive(), pairs(), seeded())
        model(images(1), positive(), [None, None], seeded())
    assert widths == [98, 77]
    with pytest.raises(ValueError, match="1 of 2 scenes have a face pair"):
        model(images(1), positive(), [None, *pairs(5, 32)], seeded())
    with pytest.raises(ValueError, match="2 scenes, 3 prompts"):
        model(images(1), positive(3), pairs(), seeded())


def test_a_model_without_tokens_does_not_train_mapnet() -> None:
    parts = pipeline(token_scales=())
    model = TrainableRestorer(parts)
    model(images(1), positive(), pairs(), seeded()).mean().backward()
    assert model.mapnet_parameters() == []
    assert all(one.grad is None for one in parts.mapnet.parameters())
    assert len(generator_optimiser(model, Optimisation()).param_groups) == 1


def test_mapnet_has_a_learning_rate_of_its_own() -> None:
    model = TrainableRestorer(pipeline())
    rates = Optimisation(learning_rate=1e-3, mapnet_learning_rate=1e-4)
    groups = generator_optimiser(model, rates).param_groups
    assert [group["lr"] for group in groups] == [1e-3, 1e-4]
    counts = [sum(one.numel() for one in group["params"]) for group in groups]
    assert counts[1] == 40_593
    assert sum(counts) == sum(one.numel() for one in model.parameters() if one.requires_grad)
