"""Drawn values: their frequencies, their ranges, and what they depend on."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from inscene.degrade import Operator, Profile, load_profile
from inscene.degrade.drawing import draw_blur, draw_jpeg, draw_noise, draw_resize
from inscene.degrade.values import EllipseBlur, GaussianNoise, PoissonNoise, SincBlur
from inscene.seeds import Draws

# Real-ESRGAN: shares given "no sinc", and a sinc with probability 0.1.
EFFECTIVE_SHARES = {
    "iso": 0.405,
    "aniso": 0.225,
    "generalized_iso": 0.108,
    "generalized_aniso": 0.027,
    "plateau_iso": 0.108,
    "plateau_aniso": 0.027,
    "sinc": 0.1,
}


def assert_share(count: int, total: int, share: float) -> None:
    """Within four standard errors."""
    error = math.sqrt(share * (1 - share) / total)
    assert abs(count / total - share) <= 4 * error, f"{count / total} of {total}, expected {share}"


@pytest.fixture(scope="module")
def realesrgan() -> Profile:
    return load_profile("realesrgan")


@pytest.fixture(scope="module")
def many_blurs(realesrgan: Profile) -> list[EllipseBlur | SincBlur]:
    ranges = realesrgan.first.blur
    blurs = [draw_blur(ranges, Draws("blur", index), "first.blur") for index in range(100_000)]
    return [blur for blur in blurs if blur is not None]


def test_blur_families_and_sizes(many_blurs: list[EllipseBlur | SincBlur]) -> None:
    total = len(many_blurs)
    assert total == 100_000  # the first blur is always applied
    families = Counter(blur.family for blur in many_blurs)
    sizes = Counter(blur.size for blur in many_blurs)
    for family, share in EFFECTIVE_SHARES.items():
        assert_share(families[family], total, share)
    for size in (7, 9, 11, 13, 15, 17, 19, 21):
        assert_share(sizes[size], total, 1 / 8)


def test_blur_parameters(many_blurs: list[EllipseBlur | SincBlur]) -> None:
    plateau = [blur for blur in many_blurs if blur.family.startswith("plateau")]
    flat = [blur for blur in plateau if isinstance(blur, EllipseBlur) and blur.beta == 1]
    assert_share(len(flat), len(plateau), 0.5)

    aniso = [b for b in many_blurs if isinstance(b, EllipseBlur) and b.family == "aniso"]
    sigmas = np.array([(blur.sigma_x, blur.sigma_y) for blur in aniso])
    assert sigmas.min() >= 0.2
    assert sigmas.max() <= 3.0
    assert abs(np.corrcoef(sigmas.T)[0, 1]) < 4 / math.sqrt(len(aniso))
    assert_share(sum(abs(blur.theta) > math.pi / 2 for blur in aniso), len(aniso), 0.5)

    sinc = [blur for blur in many_blurs if isinstance(blur, SincBlur)]
    low = math.pi / 3
    assert min(blur.cutoff for blur in sinc if blur.size < 13) >= low
    below = [blur for blur in sinc if blur.size >= 13]
    share = (1 / 3 - 1 / 5) / (1 - 1 / 5)
    assert_share(sum(blur.cutoff < low for blur in below), len(below), share)


def test_resizes(realesrgan: Profile) -> None:
    total = 20_000
    made = [draw_resize(realesrgan.first.resize, Draws("r", i), "resize") for i in range(total)]
    assert_share(sum(value.scale > 1 for value in made), total, 0.2)
    assert_share(sum(value.scale < 1 for value in made), total, 0.7)
    assert all(0.15 <= value.scale <= 1.5 for value in made)
    for count in Counter(value.filter for value in made).values():
        assert_share(count, total, 1 / 3)


def test_faceme_divides_by_a_uniform_number() -> None:
    ranges, total = load_profile("faceme").first.resize, 20_000
    divisors = [1 / draw_resize(ranges, Draws("r", i), "resize").scale for i in range(total)]
    assert min(divisors) >= 1
    assert max(divisors) <= 16
    assert_share(sum(divisor < 8.5 for divisor in divisors), total, 0.5)


def test_noises(realesrgan: Profile) -> None:
    total = 20_000
    made = [draw_noise(realesrgan.first.noise, Draws("n", i), "noise")[0] for i in range(total)]
    assert_share(sum(isinstance(noise, GaussianNoise) for noise in made), total, 0.5)
    assert_share(sum(noise.gray for noise in made), total, 0.4)
    assert all(1 <= noise.sigma <= 30 for noise in made if isinstance(noise, GaussianNoise))
    assert all(0.05 <= noise.scale <= 3 for noise in made if isinstance(noise, PoissonNoise))


def test_whole_operators(realesrgan: Profile) -> None:
    total = 4000
    made = [Operator.draw(realesrgan, Draws("o", index)) for index in range(total)]
    second = [operator.second for operator in made if operator.second is not None]
    assert len(second) == total
    assert_share(sum(stage.blur is not None for stage in second), total, 0.8)
    assert_share(sum(stage.resize.scale == 1 for stage in second), total, 0.3)
    assert_share(sum(op.final.sinc is not None for op in made), total, 0.8)
    assert_share(sum(op.final.order == "jpeg_resize_sinc" for op in made), total, 0.5)


def test_whole_numbers_of_jpeg_quality_are_truncated() -> None:
    ranges = load_profile("faceme").first.jpeg
    drawn = {draw_jpeg(ranges, Draws("q", i), "jpeg").quality for i in range(5000)}
    assert drawn == {float(quality) for quality in range(30, 100)}


def test_a_draw_depends_on_its_key_and_name_only(realesrgan: Profile) -> None:
    def operator_ids(versions: list[int], profile: Profile) -> dict[int, str]:
        return {v: Operator.draw(profile, Draws(0, "key", v)).operator_id for v in versions}

    assert operator_ids([0, 1, 2, 3], realesrgan) == operator_ids([3, 1, 0, 2], realesrgan)
    assert len(set(operator_ids(list(range(50)), realesrgan).values())) == 50

    # The order of the keys in a YAML file means nothing.
    data = realesrgan.model_dump()
    families, directions = data["first"]["blur"]["families"], data["first"]["resize"]["direction"]
    data["first"]["blur"]["families"] = dict(reversed(families.items()))
    data["first"]["resize"]["direction"] = dict(reversed(directions.items()))
    shuffled = Profile.model_validate(data)
    assert operator_ids(list(range(50)), realesrgan) == operator_ids(list(range(50)), shuffled)


def test_one_changed_range_shifts_no_other_draw(realesrgan: Profile) -> None:
    data = realesrgan.model_dump()
    data["first"]["blur"]["prob"] = 0.0
    without = Operator.draw(Profile.model_validate(data), Draws(0, "key", 0))
    whole = Operator.draw(realesrgan, Draws(0, "key", 0))
    assert without.first.blur is None
    assert without == whole.model_copy(
        update={"first": whole.first.model_copy(update={"blur": None})}
    )


@pytest.mark.parametrize(
    ("profile", "operator_id"),
    [
        ("s3diff", "4efbdf93f3c269d3dde7a98b654abc6f"),
        ("realesrgan", "f893646de35bcfc226da32c74cdaef1f"),
        ("faceme", "5d42e70815be6f3c032af801edd15642"),
    ],
)
def test_operators_are_frozen(profile: str, operator_id: str) -> None:
    """These ids are part of every dataset that was ever made: a change needs another ``sem``."""
    assert Operator.draw(load_profile(profile), Draws(7, "image", 2)).operator_id == operator_id
