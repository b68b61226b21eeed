"""From SD-Turbo's official layout to a row of the leaderboard, as a user gets there: its files,
tiny and random, are pulled from a hub on this machine; the pairs are the demo's, of two photos."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from loopback.pulled import pulled
from PIL import Image
from skimage import data
from tiny_weights.sd_turbo import shake

from inscene import demo
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.shipped import shipped_folder

Cli = Callable[..., Any]
Read = Callable[..., list[dict[str, Any]]]
Checkpoints = Callable[..., Path]

FACES = ("--option", "ref_fr=identity")
"""A restorer that needs neither weights nor references; what it restores is the LQ face."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ``inscene demo`` was run, with smaller photos: one has a face."""
    folder = tmp_path_factory.mktemp("home")
    photos = {
        "astronaut.png": data.astronaut()[20:212, 128:320],
        "coffee.png": data.coffee()[60:188, 200:328],
    }
    for name, photo in photos.items():
        Image.fromarray(np.ascontiguousarray(photo)).save(folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "METHODS", ("bicubic",))
        patch.setattr(demo, "find_photos", lambda: {"skimage": [folder / one for one in photos]})
        demo.run_demo(str(folder / "demo-out"), lambda text: None)
    return folder


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite ``demo`` looks for the pairs where the demo writes them."""
    monkeypatch.chdir(home)


@pytest.fixture(scope="module")
def sd_turbo(home: Path, inscene: Callable[..., Any]) -> Iterator[Path]:
    """What ``inscene weights pull sd-turbo`` has written; it is found while this is used."""
    with pulled(["sd-turbo"], home, inscene):
        small = yaml.safe_load((home / "manifest.yaml").read_text())
        shipped = yaml.safe_load((shipped_folder("manifests") / "weights.yaml").read_text())
        (home / "manifest.yaml").write_text(yaml.safe_dump(shipped | small))
        yield home / "weights" / "sd-turbo"


@pytest.fixture(scope="module")
def adapters(home: Path, sd_turbo: Path) -> Path:
    """A checkpoint that only adds to it, as if it had been trained."""
    pipeline = Face2ScenePipeline.from_family("sd-turbo")
    assert pipeline.config.base is not None
    shake(pipeline.restorer.unet, pipeline.restorer.vae)
    pipeline.save_pretrained(home / "adapters")
    return home / "adapters"


@pytest.fixture
def board(cli: Cli) -> Callable[[Path], dict[str, dict[str, Any]]]:
    """Method -> its row of the only board."""

    def read(results: Path) -> dict[str, dict[str, Any]]:
        (one,) = json.loads(cli("leaderboard", results, "--format", "json").out)["boards"]
        assert one["suite"] == "demo"
        return {row["method"]: row for row in one["methods"]}

    return read


@pytest.fixture
def bench(cli: Cli) -> Callable[..., Any]:
    def run(out: Path, method: str, checkpoint: Path, *options: str, limit: int = 1) -> Any:
        asked = ("--suite", "demo", "--metrics", "psnr,ssim", "--limit", str(limit))
        asked += ("--method", method, "--checkpoint", str(checkpoint))
        return cli("bench", *asked, *options, "--out", out)

    return run


def pixels(image: Any) -> np.ndarray:
    """Of a PNG in a row, or in a file."""
    opened = Image.open(io.BytesIO(image["bytes"]) if isinstance(image, dict) else image)
    return np.asarray(opened.convert("RGB"))


def psnr_of_luma(one: np.ndarray, other: np.ndarray) -> float:
    weights = np.array([65.481, 128.553, 24.966]) / 255
    error = ((one.astype(float) - other) @ weights) ** 2
    return float(10 * np.log10(255**2 / error.mean()))


def test_a_checkpoint_adds_to_what_was_pulled(adapters: Path, sd_turbo: Path) -> None:
    stated = json.loads((adapters / "face2scene.json").read_text())
    assert (stated["family"], stated["base"]["weight"]) == ("sd-turbo", "sd-turbo")
    folders = {path.name for path in adapters.iterdir() if path.is_dir()}
    assert folders == {
        "fadex", "mapnet", "unet_lora", "vae_lora", "unet_conv_in", "prompt_embeds"
    }  # fmt: skip
    stored = {path.suffix for path in adapters.rglob("*") if path.is_file()}
    assert stored == {".json", ".safetensors"}


def test_a_photo_is_restored_as_the_library_restores_it(
    cli: Cli, home: Path, adapters: Path, tmp_path: Path
) -> None:
    cli("restore", "coffee.png", "--checkpoint", adapters, "--out", tmp_path)
    lq = torch.from_numpy(np.array(pixels(home / "coffee.png")).transpose(2, 0, 1)) / 127.5 - 1
    (expected,) = Face2ScenePipeline.from_pretrained(adapters)([lq], [None])
    found = torch.from_numpy(np.array(pixels(tmp_path / "coffee.png")).transpose(2, 0, 1))
    levels = ((expected + 1) * 127.5).round()
    assert (found - levels).abs().max() <= 1  # adapters are fused for the one and not the other
    assert (found - (lq + 1) * 127.5).abs().mean() > 5
    (line,) = map(json.loads, (tmp_path / "restored.jsonl").read_text().splitlines())
    assert line["notes"] == ["no_references", "text_tokens_only"]


def test_the_demos_pairs_and_the_leaderboard(
    cli: Cli, bench: Any, board: Any, read: Read, home: Path, adapters: Path, tmp_path: Path
) -> None:
    said = bench(tmp_path / "out", "face2scene", adapters, *FACES, limit=2)
    place = tmp_path / "out" / "demo--face2scene" / "restored"
    rows = {(row["sample_id"], row["version"]): row for row in read(place)}
    pairs = {(row["sample_id"], row["version"]): row for row in read(home / "demo-out" / "pairs")}
    assert len(rows) == 2
    assert set(rows) < set(pairs)
    assert "no_references" not in said.out
    scores = []
    for key, row in rows.items():
        assert row["notes"] == []  # there is a face, and it was restored
        stages = [stage["stage"] for stage in row["stage_s"]]
        assert stages == ["find_face", "restore_face", "restore_scene"]
        restored, clean = pixels(row["image"]), pixels(pairs[key]["hq"])
        assert restored.shape == clean.shape
        scores.append(psnr_of_luma(restored, clean))
    (row,) = board(tmp_path / "out").values()
    assert (row["method"], row["samples"], row["failures"]) == ("face2scene", 2, {})
    assert row["scores"]["psnr"]["mean"] == pytest.approx(np.mean(scores), abs=0.02)
    assert 0 < row["scores"]["ssim"]["mean"] < 1
    assert row["restore_s"] > 0
    shown = cli("leaderboard", tmp_path / "out").out
    assert "face2scene" in shown
    assert f"{row['scores']['psnr']['mean']:.4f}" in shown


def test_the_demos_pairs_need_no_checkpoint(
    cli: Cli, board: Any, read: Read, tmp_path: Path
) -> None:
    """Nor any other option: the one that ships restores them."""
    asked = ("bench", "--suite", "demo", "--method", "face2scene", "--metrics", "psnr,ssim")
    said = cli(*asked, "--limit", "1", "--out", tmp_path)
    assert "face2scene-small restores: the small model that ships" in said.err
    place = tmp_path / "demo--face2scene" / "restored"
    (row,) = read(place)
    assert row["notes"] == ["embedded_checkpoint", "no_references", "text_tokens_only"]
    recipe = json.loads((place / "run" / "recipe.json").read_text())
    (step,) = (step for step in recipe["steps"] if step["step"] == "restore")
    assert (step["embedded"], len(step["checkpoint"])) == ("face2scene-small", 64)
    assert board(tmp_path)["face2scene"]["failures"] == {}


def test_bench_and_restore_agree(
    cli: Cli, bench: Any, read: Read, home: Path, adapters: Path, tmp_path: Path
) -> None:
    """One LQ of the demo, as a row and as a file of the same size."""
    bench(tmp_path / "out", "face2scene", adapters, *FACES)
    (row,) = read(tmp_path / "out" / "demo--face2scene" / "restored")
    pair = next(
        one
        for one in read(home / "demo-out" / "pairs")
        if (one["sample_id"], one["version"]) == (row["sample_id"], row["version"])
    )
    Image.fromarray(pixels(pair["lq"])).save(tmp_path / "lq.png")
    cli(
        "restore", tmp_path / "lq.png", "--checkpoint", adapters, "--ref-fr", "identity",
        "--upscale", "4", "--out", tmp_path / "photos",
    )  # fmt: skip
    assert (pixels(tmp_path / "photos" / "lq.png") == pixels(row["image"])).all()


def test_the_base_is_not_here(
    cli: Cli, adapters: Path, sd_turbo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "nothing"))
    asked = ("restore", "coffee.png", "--checkpoint", adapters, "--out", tmp_path / "out")
    said = cli(*asked, code=4)
    assert "inscene weights pull sd-turbo" in said.err
    assert not (tmp_path / "out").exists()
    cli(*asked, "--option", f"base={sd_turbo}")
    assert (tmp_path / "out" / "coffee.png").is_file()


def test_variants_have_checkpoints_of_their_own(
    cli: Cli, bench: Any, board: Any, read: Read, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    scales: dict[str, tuple[int, ...]] = {
        "face2scene-notokens": (),
        "face2scene-1token": (1,),
        "face2scene-5tokens": (1, 2),
        "face2scene": (1, 2, 4),
    }
    outputs = {}
    for method, grids in scales.items():
        said = bench(tmp_path, method, checkpoints(grids), *FACES)
        (row,) = read(tmp_path / f"demo--{method}" / "restored")
        outputs[method] = row["image"]["bytes"]
        stages = {stage["stage"] for stage in row["stage_s"]}
        assert ("find_face" in stages) == bool(grids)  # without tokens no face has a say
        assert row["notes"] == []
        assert "oracle" not in said.out
    assert len(set(outputs.values())) == 4
    assert board(tmp_path).keys() == scales.keys()
    asked = ("bench", "--suite", "demo", "--metrics", "psnr", "--out", tmp_path / "other")
    wrong = cli(*asked, "--method", "face2scene-5tokens", "--checkpoint", checkpoints((1,)), code=2)
    assert "face2scene-5tokens has 5 degradation tokens, this checkpoint 1" in wrong.err


def test_guidance_acts(bench: Any, read: Read, checkpoint: Path, tmp_path: Path) -> None:
    methods = ("face2scene", "face2scene-cfg-1.00", "face2scene-cfg-1.07", "face2scene-cfg-1.16")
    images = {}
    for method in methods:
        bench(tmp_path, method, checkpoint, *FACES)
        (row,) = read(tmp_path / f"demo--{method}" / "restored")
        images[method] = pixels(row["image"]).astype(int)
    plain = images["face2scene"]  # the checkpoint's own scale is 1.07
    assert (images["face2scene-cfg-1.07"] == plain).all()
    none, strong = images["face2scene-cfg-1.00"], images["face2scene-cfg-1.16"]
    assert (none != plain).any()
    assert np.abs(strong - none).sum() > np.abs(plain - none).sum() > 0


@pytest.mark.parametrize(
    ("quality", "inner"), [("good", "identity"), ("bad", "gt"), ("good", "gt")]
)
def test_oracles_are_marked(
    bench: Any, read: Read, checkpoint: Path, tmp_path: Path, quality: str, inner: str
) -> None:
    """*good* is a tenth clean face, whatever restores; the clean face itself is another oracle."""
    method = f"face2scene-ref-fr-{quality}"
    said = bench(tmp_path, method, checkpoint, "--option", f"ref_fr={inner}")
    place = tmp_path / f"demo--{method}" / "restored"
    (row,) = read(place)
    assert row["notes"] == ["saw_clean_face"]
    assert "1  saw_clean_face: an oracle" in said.out
    recipe = json.loads((place / "run" / "recipe.json").read_text())
    (step,) = (step for step in recipe["steps"] if step["step"] == "restore")
    assert step["first_stage"]["ref_fr"]["ref_fr"] == f"perturbed:{quality}:{inner}"


def test_an_oracle_has_nothing_to_look_at(
    cli: Cli, bench: Any, read: Read, checkpoint: Path, tmp_path: Path
) -> None:
    said = cli(
        "restore", "coffee.png", "--method", "face2scene-ref-fr-good", "--checkpoint", checkpoint,
        "--option", "ref_fr=identity", "--out", tmp_path / "out", code=2,
    )  # fmt: skip
    assert "clean images" in said.err
    # A face that is only made worse needs no clean one.
    bench(tmp_path, "face2scene-ref-fr-bad", checkpoint, *FACES)
    (row,) = read(tmp_path / "demo--face2scene-ref-fr-bad" / "restored")
    assert row["notes"] == []
