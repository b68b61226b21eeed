"""A bench run over the paper's metrics, with small weights pulled from a hub on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from command_here import inscene_here
from loopback.pulled import pulled
from PIL import Image
from synthetic_photos import synthetic_photo

pytest.importorskip("pyiqa", reason="extra: bench")
pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore"),  # the models' libraries', as in a process of their own
]

# All but MANIQA: its 20 crops take a minute an image on a CPU. tests/quality has it.
NINE = ("dists", "lpips", "psnr", "ssim", "fid", "musiq", "clipiqa", "liqe", "topiq_nr")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, inscene) -> Iterator[Path]:
    from tiny_weights.metrics import METRIC_FILES

    folder = tmp_path_factory.mktemp("nine")
    (folder / "photos").mkdir()
    for index in range(6):
        synthetic_photo(index, 240, 232).save(folder / "photos" / f"{index}.png")
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(folder / "photos" / "small.png")
    scenes, pairs = folder / "scenes", folder / "pairs"
    inscene_here("build", "gallery", folder / "photos", "--recipe", "photos", "--out", scenes)
    inscene_here("degrade", scenes, "--versions", "1", "--out", pairs)
    with pulled(list(METRIC_FILES), folder, inscene):
        yield pairs


def run(inscene, pairs: Path, out: Path, *options: str) -> dict[str, dict[str, str]]:
    command = ["bench", "--method", "bicubic", "--dataset", pairs, "--out", out, "--metrics"]
    inscene(*command, ",".join(NINE), *options)
    return board_of(out)


def board_of(out: Path) -> dict[str, dict[str, str]]:
    """By metric, the line of the CSV board."""
    lines = inscene_here("leaderboard", out, "--format", "csv").stdout.splitlines()
    head = lines[0].split(",")
    rows = [dict(zip(head, line.split(","), strict=True)) for line in lines[1:]]
    return {row["metric"]: row for row in rows if row["method"] == "bicubic"}


@pytest.fixture(scope="module")
def inline(pairs: Path, tmp_path_factory: pytest.TempPathFactory, inscene) -> Path:
    out = tmp_path_factory.mktemp("inline") / "out"
    run(inscene, pairs, out, "--executor", "inline")
    return out


def test_nine_metrics(pairs: Path, inline: Path, tmp_path: Path, inscene) -> None:
    board = run(inscene, pairs, inline)  # again: nothing is left to do
    assert set(board) == set(NINE)
    assert {key: int(row["scored"]) for key, row in board.items()} == {
        key: 6 if key == "liqe" else 7 for key in NINE
    }
    (scores,) = (inline / "pairs--bicubic").glob("scores-*")
    rows = pq.read_table(scores / "data").to_pylist()
    (small,) = [r for r in rows if r["sample_id"] == "small.png" and r["metric"] == "liqe"]
    assert (small["value"], small["status"]) == (None, "image_too_small")
    facts = json.loads((scores / "run" / "recipe.json").read_text())
    (step,) = [one for one in facts["steps"] if one["step"] == "score"]
    assert set(step["metrics"]["lpips"]["weights"]) == {"alexnet-imagenet", "lpips"}
    assert step["metrics"]["lpips"]["packages"]["pyiqa"] == "0.1.16"

    two = run(inscene, pairs, tmp_path / "two", "--executor", "process", "--workers", "2")
    for key, row in board.items():
        assert float(two[key]["mean"]) == pytest.approx(float(row["mean"]), abs=1e-4), key
    assert two["fid"]["mean"] != ""


def test_fid_is_that_of_the_features(inline: Path) -> None:
    """The board's number, from the stored features, by the textbook's formula."""
    board = board_of(inline)
    features = {}
    for name in ("bicubic", "reference"):
        found = []
        for scores in (inline / f"pairs--{name}").glob("scores-*"):
            rows = pq.read_table(scores / "data").to_pylist()
            found += [row["features"] for row in rows if row["metric"] == "fid"]
        features[name] = np.array(found, np.float64)
        assert features[name].shape == (7, 2048)
    a, b = features["bicubic"], features["reference"]
    means = a.mean(0) - b.mean(0)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    overlap = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    direct = means @ means + np.trace(first) + np.trace(second) - 2 * overlap
    assert float(board["fid"]["mean"]) == pytest.approx(direct, rel=1e-3, abs=1e-3)


def test_clean_images_are_looked_at_once(pairs: Path, inline: Path, tmp_path: Path) -> None:
    """Another bench of the same pairs takes their features from the first one's."""
    from inscene.bench.run import bench_of_dataset, run_bench
    from inscene.engine import run as engine

    ran = []

    def execute(plan: engine.Plan, title: str) -> engine.Summary:
        there = Path(plan.out, "run", "records").is_dir()
        ran.append((title, there))
        return engine.run(plan)

    run_bench(bench_of_dataset(str(pairs), ["bicubic"], ["fid"], str(tmp_path)), execute)
    assert ran[0] == ("scores reference", True)
    assert ran[-1] == ("scores bicubic", False)


def test_identity_is_preserved_where_nothing_changes(pairs: Path, tmp_path: Path, inscene) -> None:
    """ArcFace over aligned faces: 1 for the clean image itself, less for a degraded one."""
    import yaml
    from skimage import data

    pytest.importorskip("insightface")
    pytest.importorskip("facenet_pytorch")
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(data.astronaut()).save(photos / "a.png")
    recipe = {"name": "faces", "makes": "scenes", "steps": ["decode", "detect_faces"]}
    (tmp_path / "faces.yaml").write_text(yaml.safe_dump(recipe))
    inscene_here("build", "gallery", photos, "--recipe", tmp_path / "faces.yaml",
                 "--out", tmp_path / "scenes")  # fmt: skip
    inscene_here("degrade", tmp_path / "scenes", "--versions", "1", "--out", tmp_path / "pairs")
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    (outputs / "a.png").write_bytes((photos / "a.png").read_bytes())
    suite = {
        "title": "Identity", "answers": "nothing", "view": "identity", "metrics": ["arcface"],
        "dataset": {"folder": str(tmp_path / "pairs"), "make": "Make it."},
    }  # fmt: skip
    (tmp_path / "identity.yaml").write_text(yaml.safe_dump(suite))
    with pulled(["buffalo_l"], tmp_path, inscene):
        inscene("bench", "--suite", tmp_path / "identity.yaml", "--method", f"folder:{outputs}",
                "--method", "bicubic", "--out", tmp_path / "out")  # fmt: skip
    lines = inscene_here("leaderboard", tmp_path / "out", "--format", "csv").stdout.splitlines()
    found = {line.split(",")[1]: float(line.split(",")[3]) for line in lines[1:]}
    assert found["folder:outputs"] == pytest.approx(1, abs=1e-6)
    assert found["bicubic"] < 0.9999
