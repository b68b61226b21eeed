"""The method ``face2scene``, of a tiny checkpoint: what comes out, what it lacks, what decides."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.bench.methods import Sample, describe, find_method, require, what_is_missing
from inscene.bench.run import Bench, plan_restore
from inscene.errors import MachineError, RecipeError, SampleError, UsageError, VerificationError
from inscene.face2scene import embedded
from inscene.face2scene.embedded import FOLDER, NAME
from inscene.restore.face2scene import Face2Scene, _as_bytes

pytest.importorskip("facenet_pytorch")

Methods = Callable[..., Face2Scene]


@pytest.fixture(scope="session")
def method(checkpoint: Path) -> Methods:
    """Of the tiny checkpoint, or of another; each with its settings is loaded once."""
    made: dict[str, Face2Scene] = {}

    def make(name: str = "face2scene", **options: Any) -> Face2Scene:
        key = f"{name} {options}"
        if key not in made:
            found = find_method(name, {"checkpoint": str(checkpoint), **options})
            assert isinstance(found, Face2Scene)
            made[key] = found
        return made[key]

    return make


@pytest.fixture(scope="session")
def sample(astronaut: np.ndarray, landmarks5: np.ndarray) -> Sample:
    """A face of about 80 px in a scene of 160."""
    part = np.ascontiguousarray(astronaut[40:200, 140:300])
    return Sample("eileen.png", 0, part, (160, 160), landmarks5=landmarks5 - (140, 40))


SEEN = {"blind": "identity", "detect_on": "metadata"}
"""With a face restorer and without looking for a face."""


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


# What comes out


def test_the_face_has_a_say(method: Methods, sample: Sample) -> None:
    with_face = method(**SEEN).output(sample)
    assert with_face.image.shape == (160, 160, 3)
    assert with_face.image.dtype == np.uint8
    assert with_face.notes == ("no_references",)
    assert list(with_face.stage_s) == ["find_face", "restore_face", "restore_scene"]
    assert min(with_face.stage_s.values()) >= 0
    text_only = method().output(sample)
    assert text_only.notes == ("no_references", "text_tokens_only")
    assert list(text_only.stage_s) == ["restore_scene"]
    assert distance(with_face.image, text_only.image) > 0.5
    again = method(**SEEN, seed=0).output(sample)
    assert (again.image == with_face.image).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"guidance_scale": 1.5},
        {"colour_fix": "none"},
        {"colour_fix": "adain"},
        {"dtype": "bfloat16"},
    ],
)
def test_settings_act(method: Methods, sample: Sample, changed: dict[str, Any]) -> None:
    one, other = method(**SEEN), method(**SEEN, **changed)
    assert (one.output(sample).image != other.output(sample).image).any()
    assert one.fingerprint() != other.fingerprint()


def test_guidance_variants_are_the_setting(method: Methods, sample: Sample) -> None:
    images = {
        name: method(f"face2scene-cfg-{name}", **SEEN).output(sample).image
        for name in ("1.00", "1.07", "1.16")
    }
    assert distance(images["1.00"], images["1.16"]) > distance(images["1.07"], images["1.16"]) > 0
    set_here = method(guidance_scale=1.16, **SEEN).output(sample).image
    assert (images["1.16"] == set_here).all()


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 2, 4]))
@settings(max_examples=10, deadline=None)
def test_any_size(method: Methods, height: int, width: int, upscale: int) -> None:
    rng = np.random.default_rng(height * 100 + width)
    lq = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    size = (width * upscale, height * upscale)
    output = method().output(Sample("x", 0, lq, size))
    assert output.image.shape == (size[1], size[0], 3)


@pytest.mark.parametrize(("width", "height"), [(700, 40), (33, 500)])
def test_panoramas_and_portraits(method: Methods, width: int, height: int) -> None:
    lq = np.full((height, width, 3), (200, 120, 40), np.uint8)
    image = method().output(Sample("x", 0, lq, (width, height))).image
    assert image.shape == (height, width, 3)
    assert np.abs(image.reshape(-1, 3).mean(0) - (200, 120, 40)).max() < 12  # the colour fix


def test_tiles_and_the_whole_scene(method: Methods) -> None:
    """``tiled: false`` differs where the scene is larger than a tile; no seam is left by either."""
    y, x = np.mgrid[:96, :1100] / 1100
    lq = (np.stack([x, y, 1 - x], 2) * 255).astype(np.uint8)
    sample = Sample("x", 0, lq, (1100, 96))
    tiled, whole = (method(tiled=value).output(sample).image for value in (True, False))
    assert distance(tiled, whole) < 2


@pytest.mark.parametrize("side_px", [14, 32])
def test_small_faces(method: Methods, sample: Sample, side_px: int) -> None:
    from PIL import Image

    factor = side_px / 80
    side = round(160 * factor)
    small = np.asarray(Image.fromarray(sample.lq).resize((side, side)))
    assert sample.landmarks5 is not None
    given_small = replace(
        sample, lq=small, size=(side, side), landmarks5=sample.landmarks5 * factor
    )
    output = method(**SEEN).output(given_small)
    assert output.image.shape == (side, side, 3)
    assert "text_tokens_only" not in output.notes


@pytest.mark.parametrize("corner", [(60, 40), (0, 70), (80, 80)])
def test_faces_that_the_border_cuts(
    method: Methods, sample: Sample, corner: tuple[int, int]
) -> None:
    x, y = corner
    assert sample.landmarks5 is not None
    cut = np.ascontiguousarray(sample.lq[y:, x:])
    height, width = cut.shape[:2]
    output = method(**SEEN).output(
        replace(sample, lq=cut, size=(width, height), landmarks5=sample.landmarks5 - corner)
    )
    assert output.image.shape == cut.shape
    assert "text_tokens_only" not in output.notes


def test_eight_bits() -> None:
    levels = torch.tensor([-9, -1, -1 + 0.9 / 255, -1 + 1.1 / 255, 0.999, 1, 7.0])
    image = _as_bytes(levels[None, None].expand(3, 1, -1))
    assert image[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255, 255]


def test_one_fails_alone(method: Methods, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    one = method(ref_fr="gt", detect_on="metadata")
    outputs = one.restore_many([sample, replace(sample, clean=sample.lq), sample])
    assert [isinstance(output, SampleError) for output in outputs] == [True, False, True]
    assert getattr(outputs[0], "reason", "") == "clean_face_missing"
    assert getattr(outputs[1], "notes", ()) == ("saw_clean_face",)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (RuntimeError("a bug"), None),
    ],
)
def test_a_scene_that_is_too_large_fails_alone(
    method: Methods, sample: Sample, monkeypatch: pytest.MonkeyPatch,
    error: Exception, reason: str | None,
) -> None:  # fmt: skip
    one = method()

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(one, "_second", fails)
    if reason is None:
        with pytest.raises(RuntimeError, match="a bug"):
            one.restore_many([sample])
        return
    (output,) = one.restore_many([sample])
    assert isinstance(output, SampleError)
    assert (output.reason, output.detail) == (reason, "160x160 px")


# Variants


@pytest.mark.parametrize(
    ("name", "scales"),
    [("face2scene-1token", (1,)), ("face2scene-5tokens", (1, 2)), ("face2scene-notokens", ())],
)
def test_variants_have_checkpoints_of_their_own(
    checkpoints: Callable[..., Path], method: Methods, sample: Sample,
    name: str, scales: tuple[int, ...],
) -> None:  # fmt: skip
    own = checkpoints(scales)
    output = method(name, checkpoint=str(own), **SEEN).output(sample)
    assert output.notes == (() if scales == () else ("no_references",))
    assert ("find_face" in output.stage_s) == (scales != ())
    with pytest.raises(UsageError, match=r"21 degradation tokens, this checkpoint"):
        what_is_missing(method("face2scene", checkpoint=str(own)))
    with pytest.raises(UsageError, match=r"this checkpoint 21.*trained anew"):
        require(method(name))


def test_a_model_without_tokens_needs_no_face_restorer(checkpoints: Callable[..., Path]) -> None:
    options = {"checkpoint": str(checkpoints(())), "with_references": True}
    without = find_method("face2scene-notokens", options)
    assert what_is_missing(without) == []
    assert not without.uses_references
    assert "not looked at" in "\n".join(describe(without))


@pytest.mark.parametrize("quality", ["good", "bad"])
def test_qualities_of_the_reference_face(method: Methods, quality: str) -> None:
    one = method(f"face2scene-ref-fr-{quality}")
    assert one.settings.ref_fr_quality == quality
    assert one.sees_clean == (quality == "good")
    assert ("oracle: " in "\n".join(describe(one))) == one.sees_clean


# What is missing


def test_without_a_checkpoint_it_is_the_one_that_ships(
    method: Methods, checkpoint: Path, tmp_path: Path
) -> None:
    ships = find_method("face2scene")
    assert what_is_missing(ships) == []
    assert "checkpoint: face2scene-small, the small model that ships" in "\n".join(describe(ships))
    assert "for trying out. --checkpoint names another." in ships.remark()
    (output,) = ships.restore_many([Sample("x", 0, np.zeros((16, 12, 3), np.uint8), (24, 32))])
    assert not isinstance(output, SampleError)
    assert output.image.shape == (32, 24, 3)
    assert output.notes == ("embedded_checkpoint", "no_references", "text_tokens_only")
    facts, named = ships.fingerprint(), find_method("face2scene", {"checkpoint": NAME})
    assert facts == named.fingerprint()
    assert facts["embedded"] == NAME
    assert ships.origin() == {"checkpoint": NAME, "checkpoint_sha256": facts["checkpoint"]}
    copy = find_method("face2scene", {"checkpoint": str(shutil.copytree(FOLDER, tmp_path / NAME))})
    # The same weights, without the note.
    assert copy.fingerprint() == {key: facts[key] for key in facts if key != "embedded"}
    assert copy.remark() == ""
    other = method()
    assert other.remark() == ""
    assert other.origin() == {"checkpoint_sha256": other.fingerprint()["checkpoint"]}
    assert "embedded" not in other.fingerprint()


def test_variants_that_were_trained_anew_need_their_own() -> None:
    for name in ("face2scene-1token", "face2scene-5tokens", "face2scene-notokens"):
        variant = find_method(name)
        (lacking,) = what_is_missing(variant)
        assert "face2scene-small, which ships, has 21 degradation tokens: give" in lacking
        assert variant.fingerprint()["checkpoint"] is None
        with pytest.raises(MachineError, match="give --checkpoint"):
            variant.restore(Sample("x", 0, np.zeros((4, 4, 3), np.uint8), (4, 4)))
        with pytest.raises(UsageError, match="this checkpoint 21"):
            require(find_method(name, {"checkpoint": NAME}))
    for name in ("face2scene-cfg-1.00", "face2scene-ref-fr-bad"):
        assert "ships" in find_method(name).remark()


def test_an_installation_that_lacks_the_one_that_ships(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "FOLDER", tmp_path / "nowhere")
    (lacking,) = what_is_missing(find_method("face2scene"))
    assert "face2scene-small is not in this installation" in lacking


def test_all_that_is_missing_is_said_at_once(method: Methods, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "no-weights"))
    restorer, recogniser = what_is_missing(method(with_references=True))
    assert "No checkout at" in restorer
    assert "git clone" in restorer
    assert "inscene weights pull buffalo_l. Or choose by size: --option face=largest." in recogniser
    assert what_is_missing(method(with_references=True, ref_fr="identity", face="largest")) == []
    assert what_is_missing(method()) == []


def test_a_base_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a checkpoint of adapters, ``face2scene.json`` is enough to know."""
    import json

    from inscene.face2scene.families import find_family

    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "no-weights"))
    document = find_family("sd-turbo").config.model_dump(mode="json") | {"files": {}}
    (tmp_path / "face2scene.json").write_text(json.dumps(document))
    method = find_method("face2scene", {"checkpoint": str(tmp_path)})
    (lacking,) = what_is_missing(method)
    assert "Run: inscene weights pull sd-turbo" in lacking
    assert method.fingerprint()["base"] is None
    with pytest.raises(MachineError, match="pull sd-turbo"):
        require(method)


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("cuda", "There is no cuda here"),
        ("cuda:3", "There is no cuda:3 here"),
        ("mps", "Apple GPU"),
    ],
)
def test_devices_that_are_not_here(method: Methods, device: str, says: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("there is one")
    (lacking,) = what_is_missing(method(device=device))
    assert says in lacking


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    for place, says in (
        (tmp_path, "no Face2Scene checkpoint"),
        (tmp_path / "nowhere", "there is no such folder"),
    ):
        with pytest.raises(UsageError, match=says):
            require(find_method("face2scene", {"checkpoint": str(place)}))


def test_a_changed_file(checkpoint: Path, tmp_path: Path, sample: Sample) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    file = copy / "mapnet/diffusion_pytorch_model.safetensors"
    weights = bytearray(file.read_bytes())
    weights[-1] ^= 1
    file.write_bytes(weights)
    with pytest.raises(VerificationError, match="not what it was"):
        find_method("face2scene", {"checkpoint": str(copy)}).restore(sample)


# A GPU


def test_a_worker_gets_a_gpu_where_it_runs_on_one(
    method: Methods, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not method(device="cpu").on_gpu
    assert method(device="cuda").on_gpu
    assert method().on_gpu == torch.cuda.is_available()
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        fresh = find_method("face2scene", {"device": "auto"})
        assert fresh.on_gpu == there


def test_the_step_knows(pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    def step(**options: str) -> Any:
        given = {"checkpoint": str(checkpoint), **options}
        bench = Bench("x", str(pairs), ("face2scene",), ("psnr",), str(tmp_path), options=given)
        return dict(plan_restore(bench, "face2scene").built.steps)["restore"]

    assert step(device="cuda").on_gpu
    assert not step(device="cpu").on_gpu
    with pytest.raises(UsageError, match="CUDA_VISIBLE_DEVICES=1"):
        step(device="cuda:1")


# The fingerprint


def test_a_checkpoint_counts_by_its_content(
    checkpoint: Path, checkpoints: Callable[..., Path], method: Methods, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(checkpoint, moved)
    here, there = method().fingerprint(), method(checkpoint=str(moved)).fingerprint()
    assert here == there
    assert str(checkpoint) not in str(here)
    names = [("face2scene", checkpoint), ("face2scene-5tokens", checkpoints((1, 2)))]
    prints = {str(method(name, checkpoint=str(where)).fingerprint()) for name, where in names}
    assert len(prints) == 2
    assert here == method(device="cpu").fingerprint()  # where it runs is no part of it
    assert here["dtype"] == "float32"
    assert method().fingerprint() != method(blind="identity").fingerprint()


def test_an_option_that_there_is_not() -> None:
    assert find_method("face2scene", {"foreign": 1}).name == "face2scene"  # of another method
    with pytest.raises(RecipeError, match="guidance_scale"):
        find_method("face2scene", {"guidance_scale": "much"})
