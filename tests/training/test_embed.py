"""A trained model takes the place of the one that ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from inscene.errors import UsageError
from inscene.face2scene import document
from inscene.face2scene.families import find_family
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.training.embed import embed
from inscene.training.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.folder.mkdir()
    run.begin({"recipe": {"seed": 3, "validation": {"source": "/home/me/photos/val"}}})
    run.log({"step": 0, "kind": "train", "loss": 1.0})
    Face2ScenePipeline.from_family("tiny").save_pretrained(run / "model")
    (tmp_path / "train-restorer.yaml").write_text("makes: checkpoint\n")
    return run


def test_half_the_size_with_its_records(run: RunFolder, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "small"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("the card")
    for _ in range(2):  # over the card alone, and over a checkpoint
        embed(
            run / "model", {"restorer": run.folder}, [tmp_path / "train-restorer.yaml"],
            folder=folder,
        )  # fmt: skip
    document.verify(folder, *document.read(folder))
    assert (folder / "README.md").read_text() == "the card"
    stored = load_file(folder / "unet" / document.DIFFUSERS_FILES[1])
    assert {one.dtype for one in stored.values()} == {torch.float16}
    training = folder / "training"
    stated = json.loads((training / "restorer.json").read_text())["fingerprint"]["recipe"]
    assert stated == {"seed": 3, "validation": {"source": "photos/val"}}
    assert (training / "restorer.jsonl").read_bytes() == (run / "log.jsonl").read_bytes()
    assert (training / "train-restorer.yaml").read_text() == "makes: checkpoint\n"
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


def test_what_is_refused(run: RunFolder, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    with pytest.raises(UsageError, match="is no run of inscene train"):
        embed(run / "model", {"fadex": tmp_path}, [], folder=folder)
    config = find_family("tiny").config.model_copy(update={"token_scales": (1,)})
    Face2ScenePipeline.from_family("tiny", config=config).save_pretrained(tmp_path / "one")
    with pytest.raises(UsageError, match="has 21 degradation tokens, this one 1"):
        embed(tmp_path / "one", {}, [], folder=folder)
    assert not folder.exists()
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="something else"):
        embed(run / "model", {}, [], folder=folder)
    assert (folder / "notes.txt").read_text() == "mine"
