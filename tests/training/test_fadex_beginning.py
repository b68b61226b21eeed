"""``first_filters: detail``: what a FaDeX of the small family begins with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inscene.face2scene.fadex import FaDeX
from inscene.face2scene.fadex_folder import save_fadex
from inscene.training.fadex.recipe import FadexRecipe
from inscene.training.fadex.task import build_fadex

TINY = {"family": "tiny", "validation": {"presets": []}}


def made(**changes: object) -> FaDeX:
    return build_fadex(FadexRecipe.model_validate(TINY | changes))


def first_of(fadex: FaDeX) -> nn.Conv2d:
    first = fadex.encoder[0]
    assert isinstance(first, nn.Conv2d)
    return first


def answers(hq: Tensor, lq: Tensor) -> Tensor:
    """Largest one of each filter, far from the border; without the bias. C."""
    filters = first_of(made(first_filters="detail")).weight
    found = nn.functional.conv2d(torch.cat((hq, lq), 1), filters)
    return found.detach().abs().amax((0, 2, 3))


def noise(seed: int) -> Tensor:
    return torch.randn((1, 3, 9, 9), generator=torch.Generator().manual_seed(seed))


def test_an_even_area_gives_nothing() -> None:
    even = torch.full((1, 3, 9, 9), 0.7)
    assert answers(even, -0.5 * even).max() < 1e-6


def test_a_third_sees_each_image_and_a_third_the_difference() -> None:
    nothing = torch.zeros(1, 3, 9, 9)
    third = len(answers(nothing, nothing)) // 3
    lq, hq, difference = slice(0, third), slice(third, 2 * third), slice(2 * third, None)
    of_hq, of_lq = answers(noise(1), nothing), answers(nothing, noise(1))
    assert of_hq[lq].max() == 0 < of_hq[hq].min()
    assert of_lq[hq].max() == 0 < of_lq[lq].min()
    assert of_hq[difference].min() > 0
    assert answers(noise(1), noise(1))[difference].max() < 1e-5
    assert answers(noise(1), noise(2))[difference].min() > 0


def test_everything_else_is_as_the_seed_makes_it(tmp_path) -> None:
    random, detail = made(), made(first_filters="detail")
    theirs = detail.state_dict()
    other = {
        name for name, one in random.state_dict().items() if not torch.equal(one, theirs[name])
    }
    assert other == {"encoder.0.weight"}
    save_fadex(random, "tiny", tmp_path)
    begun = made(first_filters="detail", start=str(tmp_path))
    assert torch.equal(first_of(begun).weight, first_of(random).weight)


def test_it_is_part_of_what_the_run_is() -> None:
    found = [
        FadexRecipe.model_validate(TINY | {"first_filters": one}).fingerprint()
        for one in ("random", "detail")
    ]
    assert found[0] != found[1]
