"""One pass gives what each metric gives alone, and says why where there is no value."""

from __future__ import annotations

import numpy as np
import pytest

from inscene.errors import MachineError, UsageError
from inscene.quality.one_pass import OnePass, Score
from inscene.quality.registry import METRICS, Metric

EIGHT = ("dists", "lpips", "psnr", "ssim", "musiq", "clipiqa", "liqe", "topiq_nr")


@pytest.fixture
def one_pass(load, monkeypatch: pytest.MonkeyPatch):
    """With metrics that this session has loaded."""

    def make(keys=EIGHT, **options) -> OnePass:
        loaded = {key: load(key) for key in keys}
        with monkeypatch.context() as patch:
            patch.setattr(Metric, "load", lambda metric: loaded[metric.key])
            return OnePass(keys, **options)

    return make


def alone(load, key: str, image: np.ndarray, clean: np.ndarray) -> float:
    (value,) = load(key)([image], [clean] if METRICS[key].reference else [])
    return value


def test_is_each_metric_alone(load, one_pass, photos) -> None:
    images, clean = photos
    other = np.ascontiguousarray(images[0].transpose(1, 0, 2))  # another size among them
    images = [images[0], other, images[1]]
    clean = [clean[0], np.ascontiguousarray(clean[0].transpose(1, 0, 2)), clean[1]]
    scored = one_pass(batch=2).score(images, clean)
    assert [tuple(scores) for scores in scored] == [EIGHT] * 3
    for image, target, scores in zip(images, clean, scored, strict=True):
        for key, score in scores.items():
            expected = alone(load, key, image, target)
            assert score.status == "ok"
            assert score.value == pytest.approx(expected, abs=1e-6, rel=1e-6), key


def test_methods_against_one_clean_image(load, one_pass, photos) -> None:
    images, clean = photos
    outputs = {"a": images[0], "b": images[1], "c": clean[0], "half": images[0][::2, ::2]}
    scored = one_pass(batch=2).score_methods(outputs, clean[0])
    assert [*scored] == [*outputs]
    for method in "abc":
        for key, score in scored[method].items():
            expected = alone(load, key, outputs[method], clean[0])
            assert score.value == pytest.approx(expected, abs=1e-6, rel=1e-6), (method, key)
    assert scored["half"]["lpips"] == Score(None, "size_mismatch")
    assert scored["half"]["psnr"] == Score(None, "size_mismatch")
    assert scored["half"]["liqe"] == Score(None, "image_too_small")
    assert scored["half"]["musiq"].value is not None


def test_the_clean_image_is_looked_at_once(one_pass, load, photos, monkeypatch) -> None:
    images, clean = photos
    looked = []
    dists = load("dists")
    prepare = dists.prepare
    monkeypatch.setattr(dists, "prepare", lambda one: looked.append(len(one)) or prepare(one))
    one_pass(["dists"], batch=2).score_methods(dict(zip("abc", images, strict=True)), clean[0])
    assert looked == [1]


def test_without_clean_images(one_pass, photos) -> None:
    images, _ = photos
    metrics = one_pass(["lpips", "psnr", "clipiqa", "fid"])
    for scores in (metrics.score(images[:1], [None])[0],
                   metrics.score_methods({"a": images[0]}, None)["a"]):  # fmt: skip
        assert scores["lpips"] == scores["psnr"] == Score(None, "no_reference")
        assert scores["clipiqa"].value is not None
        assert scores["fid"].status == "ok"
        assert scores["fid"].value is None
        assert scores["fid"].features.shape == (2048,)
    mixed = metrics.score(images[:2], [None, images[0]])
    assert mixed[0]["psnr"] == Score(None, "no_reference")
    assert mixed[1]["psnr"].value == pytest.approx(
        METRICS["psnr"].load()([images[1]], [images[0]])[0]
    )


def test_features_of_fid(load, one_pass, photos) -> None:
    images, clean = photos
    found = [scores["fid"].features for scores in one_pass(["fid"]).score(images, clean)]
    apart = [load("fid")([image])[0] for image in images]
    assert np.abs(np.stack(found) - np.stack(apart)).max() <= 1e-6 * np.abs(apart).max()


def test_wrong_images_have_no_value(one_pass, photos) -> None:
    images, _ = photos
    grey = images[0][..., 0]
    (scores,) = one_pass(["lpips", "psnr", "musiq", "fid"]).score([grey], [grey])
    assert set(scores.values()) == {Score(None, "not_8_bit_rgb")}


def test_what_is_missing_does_not_stop_the_others(metric_weights, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path))
    metrics = OnePass(["lpips", "psnr"])
    assert metrics.available == ("psnr",)
    assert "inscene weights pull lpips" in metrics.unavailable["lpips"]
    image = np.zeros((64, 64, 3), np.uint8)
    (scores,) = metrics.score([image], [image])
    assert scores == {"psnr": Score(pytest.approx(80))}
    with pytest.raises(MachineError, match="inscene weights pull lpips"):
        OnePass(["lpips", "psnr"], require_all=True)
    with pytest.raises(UsageError, match="no metric 'lpipss'"):
        OnePass(["lpipss"])


def test_memory_that_is_enough_for_one(one_pass, load, photos, monkeypatch) -> None:
    images, clean = photos
    expected = [alone(load, "topiq_nr", *pair) for pair in zip(images, clean, strict=True)]
    topiq = load("topiq_nr")
    measure = topiq._measure

    def small_machine(batch, prepared, limit=1):
        if len(batch) > limit:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
        return measure(batch, prepared)

    monkeypatch.setattr(topiq, "_measure", small_machine)
    metrics = one_pass(["topiq_nr", "psnr"], batch=4)
    values = [scores["topiq_nr"].value for scores in metrics.score(images, clean)]
    assert values == pytest.approx(expected)
    monkeypatch.setattr(topiq, "_measure", lambda batch, prepared: small_machine(batch, None, 0))
    (scores,) = metrics.score(images[:1], clean[:1])
    assert scores["topiq_nr"] == Score(None, "out_of_memory")
    assert scores["psnr"].value is not None


def test_a_value_that_is_no_number(one_pass, load, photos, monkeypatch) -> None:
    import torch

    images, clean = photos
    monkeypatch.setattr(
        load("topiq_nr"), "_measure", lambda batch, prepared: torch.tensor([1.0, torch.nan])
    )
    first, second = one_pass(["topiq_nr"], batch=4).score(images[:2], clean[:2])
    assert first["topiq_nr"] == Score(1.0)
    assert second["topiq_nr"] == Score(None, "not_finite")


def test_other_errors_are_no_results(one_pass, load, photos, monkeypatch) -> None:
    def fail(batch, prepared):
        raise RuntimeError("a mistake")

    images, clean = photos
    monkeypatch.setattr(load("topiq_nr"), "_measure", fail)
    with pytest.raises(RuntimeError, match="a mistake"):
        one_pass(["topiq_nr"]).score(images, clean)
