"""The shipped suites hold together; a mistake in one of the user's is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from inscene.bench.methods import find_method
from inscene.bench.suites import deviations, load_suite, suite_names
from inscene.errors import RecipeError, UsageError
from inscene.quality.registry import TEN, find_metric


@pytest.mark.parametrize("name", suite_names())
def test_a_shipped_suite(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert suite.answers
    assert suite.dataset.make
    for key in suite.metrics:
        metric = find_metric(key)
        assert suite.reference or not (metric.reference or metric.of == "set")
    for method in suite.methods:
        assert find_method(method).name == method


def test_the_suites_of_the_paper() -> None:
    main, real, test = (
        load_suite(f"inscene-{name}") for name in ("synthetic-val", "real-val", "real-test")
    )
    assert (main.dataset.images, main.dataset.identities) == (1329, 100)
    assert (real.dataset.images, real.dataset.identities) == (524, 31)
    assert (test.dataset.images, test.dataset.identities) == (100, 10)
    assert main.metrics == real.metrics == TEN
    assert len(test.metrics) == 5
    assert not test.reference
    assert (load_suite("celeba-ref").dataset.images, len(load_suite("face-only").metrics)) == (
        1064,
        9,
    )


def test_another_number_of_images_is_said() -> None:
    suite = load_suite("inscene-real-test")
    assert deviations(suite, [str(index) for index in range(100)]) == []
    assert [str(one) for one in deviations(suite, ["a", "a", "b"])] == ["2 images, not 100"]


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="Did you mean 'demo'"):
        load_suite("deno")
    mine = tmp_path / "mine.yaml"
    good = "title: Mine\nanswers: nothing\ndataset: {make: 'Make it.'}\nmetrics: [psnr]\n"
    mine.write_text(good)
    suite = load_suite(str(mine))
    assert suite.name == "mine"
    with pytest.raises(UsageError, match=r"are not here.*Make it"):
        suite.place()
    mine.write_text(good.replace("psnr", "psrn"))
    with pytest.raises(UsageError, match="Did you mean 'psnr'"):
        load_suite(str(mine))
    mine.write_text(good + "vew: face\n")
    with pytest.raises(RecipeError, match="vew"):
        load_suite(str(mine))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="inscene demo"):
        load_suite("demo").place()
