"""A photograph with a face, of scikit-image's wheel, and pairs that the engine makes of it."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image
from skimage import data

from inscene.dataset.parquet import open_parquet
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.recipe import load_recipe
from inscene.restore.pairing import FacePlace
from inscene.restore.ref_fr import AlignedFace

ASTRONAUT = [[205.0, 102.0], [247.0, 104.0], [225.0, 129.0], [202.0, 139.0], [245.0, 142.0]]
"""Landmarks of its face, px; found by MTCNN and rounded."""


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSCENE_REF_FR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("INSCENE_METHODS", str(tmp_path / "methods"))


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut())


@pytest.fixture(scope="session")
def landmarks5() -> np.ndarray:
    return np.array(ASTRONAUT)


@pytest.fixture(scope="session")
def face(astronaut: np.ndarray, landmarks5: np.ndarray) -> AlignedFace:
    """Its face as the restorers take it; the LQ is a smoothed copy."""
    gt = FacePlace.of(landmarks5, (512, 512)).align(astronaut)
    small = Image.fromarray(gt).resize((64, 64), Image.Resampling.BILINEAR)
    lq = np.asarray(small.resize((512, 512), Image.Resampling.BILINEAR))
    return AlignedFace("astronaut", 0, lq, gt=gt, seed=5)


def read_rows(dataset: Path, folder: str = "data") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for file in sorted((dataset / folder).glob("*.parquet")):
        with open_parquet(str(file)) as parquet:
            rows += parquet.read().to_pylist()
    return rows


def run_recipe(recipe: str | Path, sources: list[Path], out: Path, **values: object) -> None:
    """In this process; ``values`` as ``step__key``."""
    overrides = [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in values.items()]
    built = build(*load_recipe(str(recipe), overrides))
    engine.run(engine.plan(built, [str(source) for source in sources], str(out)))


def _pairs(folder: Path, photos: dict[str, np.ndarray], *steps: object) -> Path:
    for name, photo in photos.items():
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(photo)).save(path)
    recipe = {"name": "pairs", "makes": "pairs"}
    recipe["steps"] = ["decode", *steps, {"degrade": {"versions": 2}}]  # type: ignore[assignment]
    (folder / "pairs.yaml").write_text(yaml.safe_dump(recipe))
    run_recipe(folder / "pairs.yaml", [folder / "photos"], folder / "pairs")
    return folder / "pairs"


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Path:
    """Two versions each of a photo with a face, and of that face at the photo's border; with the
    landmarks that MTCNN found."""
    pytest.importorskip("facenet_pytorch")
    photos = {"eileen/whole.png": astronaut, "eileen/border.png": astronaut[40:296, 120:376]}
    return _pairs(tmp_path_factory.mktemp("pairs"), photos, "detect_faces")


@pytest.fixture(scope="session")
def unseen_pairs(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Path:
    """The same photo, and one without a face, as they are: without landmarks."""
    photos = {"eileen/whole.png": astronaut, "cups/coffee.png": data.coffee()[:256, :256]}
    return _pairs(tmp_path_factory.mktemp("unseen"), photos)


@pytest.fixture
def face_pairs(pairs: Path, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Makes face pairs and gives their rows."""

    def make(
        out: str = "out", source: Path | None = None, **params: object
    ) -> list[dict[str, Any]]:
        values = {f"face_pairs__{name}": value for name, value in params.items()}
        run_recipe("face-pairs", [source or pairs], tmp_path / out, shard_rows=3, **values)
        return read_rows(tmp_path / out)

    return make


SCRIPT = """
import argparse, os, pathlib, shutil, sys
from PIL import Image
parser = argparse.ArgumentParser()
parser.add_argument("--input", type=pathlib.Path)
parser.add_argument("--output", type=pathlib.Path)
parser.add_argument("--references", type=pathlib.Path)
args = parser.parse_args()
with open({count!r}, "a") as count:
    count.write(str(len(list(args.references.iterdir())) if args.references else 0) + "\\n")
single = args.input.is_file()
for path in [args.input] if single else sorted(args.input.iterdir()):
    target = args.output if single else args.output / path.name
    image = Image.open(path)
{body}
"""
INVERT = "Image.eval(image, lambda value: 255 - value).save(target)"


class Program:
    """A foreign repository with its manifest; what it was asked is counted in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, folder / "runs.txt"
        self.manifest = folder / "inverter.yaml"

    def write(self, body: str = INVERT, *, references: bool = False, **changes: object) -> str:
        """The path of its manifest."""
        repo = self.folder / "repo"
        repo.mkdir(parents=True, exist_ok=True)
        body = textwrap.indent(body, "    ")
        (repo / "run.py").write_text(SCRIPT.format(count=str(self.count), body=body))
        command = ["{python}", "run.py", "--input", "{input}", "--output", "{output}"]
        if references:
            command += ["--references", "{references}"]
        manifest: dict[str, object] = {
            "kind": "command",
            "title": "Inverts",
            "source": "https://example.org/inverter",
            "licence": "none",
            "commit": None,
            "checkout": "repo",
            "python": sys.executable,
            "command": command,
            "scope": "image" if references else "folder",
            "faces": "aligned512",
            "timeout_s": 30,
            "upscale": 1,
        }
        self.manifest.write_text(yaml.safe_dump(manifest | changes))
        return str(self.manifest)

    @property
    def runs(self) -> list[int]:
        """Each time it was started: how many references it was given."""
        return [int(line) for line in self.count.read_text().split()] if self.count.exists() else []


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "program")


@pytest.fixture(scope="session")
def read() -> Callable[..., list[dict[str, Any]]]:
    """``read(dataset)``, ``read(dataset, "drops")``"""
    return read_rows


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``checkpoints(scales)``: a tiny model whose UNet is no longer as it was built, when it would
    not listen to anything. ``scales``: of its tokens; (1, 2, 4) are 21."""
    made: dict[tuple[int, ...], Path] = {}

    def make(scales: tuple[int, ...] = (1, 2, 4)) -> Path:
        if scales not in made:
            from tiny_weights.sd_turbo import shake

            from inscene.face2scene.families import find_family
            from inscene.face2scene.pipeline import Face2ScenePipeline

            config = find_family("tiny").config.model_copy(update={"token_scales": scales})
            pipeline = Face2ScenePipeline.from_family("tiny", config=config)
            shake(pipeline.restorer.unet)
            made[scales] = tmp_path_factory.mktemp("checkpoint") / f"tiny-{len(made)}"
            pipeline.save_pretrained(made[scales])
        return made[scales]

    return make


@pytest.fixture(scope="session")
def checkpoint(checkpoints: Callable[..., Path]) -> Path:
    return checkpoints()


class Said(NamedTuple):
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The command line in this process: torch is loaded once."""
    from inscene.cli.app import main

    def run(*arguments: str | Path, code: int = 0) -> Said:
        monkeypatch.setattr(sys, "argv", ["inscene", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = Said(*capsys.readouterr())
        assert (ended.value.code or 0) == code, f"exit {ended.value.code}\n{said.out}\n{said.err}"
        return said

    return run
