"""The checkpoint that ships: found by its name alone, whole, and half the size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from inscene.errors import MachineError, UsageError
from inscene.face2scene import document, embedded, hub_repo
from inscene.face2scene.fadex_folder import load_fadex
from inscene.face2scene.pipeline import Face2ScenePipeline


def test_it_is_whole_and_small() -> None:
    folder = embedded.embedded_folder()
    config, hashes = document.read(folder)
    document.verify(folder, config, hashes)
    assert (config.family, config.tokens, config.base) == ("small", embedded.TOKENS, None)
    weights = [path for path in folder.rglob("*.safetensors")]
    assert sum(path.stat().st_size for path in weights) < 6e6
    types = {one.dtype for path in weights for one in load_file(path).values() if one.ndim > 1}
    assert types == {torch.float16}


def test_its_name_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the working directory has; a folder there is meant by its path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / embedded.NAME).mkdir()
    assert hub_repo.local_folder("face2scene-small") == embedded.FOLDER
    for place in ("./face2scene-small", Path("face2scene-small")):
        assert hub_repo.local_folder(place).resolve() == tmp_path / embedded.NAME
    with pytest.raises(UsageError, match="a folder has no revisions"):
        hub_repo.local_folder("face2scene-small", revision="main")
    with pytest.raises(UsageError, match="no such folder") as raised:
        hub_repo.local_folder("face2scene-smal")
    assert raised.value.next_step == "The one that ships with inscene is face2scene-small."


def test_it_restores_and_its_fadex_reads() -> None:
    saved = load_fadex("face2scene-small")
    assert saved.family == "small"
    assert {one.dtype for one in saved.fadex.parameters()} == {torch.float32}
    pipeline = Face2ScenePipeline.from_pretrained("face2scene-small")
    assert pipeline.dtype == torch.float32
    scene = torch.rand(3, 48, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    (restored,) = pipeline([scene], [None])
    assert restored.shape == scene.shape
    assert restored.isfinite().all()


def test_an_installation_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "FOLDER", tmp_path / "nowhere")
    with pytest.raises(MachineError, match="face2scene-small is not in this installation"):
        hub_repo.local_folder("face2scene-small")


def test_a_card_has_no_blanks() -> None:
    """It begins as the Hub wants it; every figure has been filled in."""
    text = (embedded.embedded_folder() / "README.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "apache-2.0"
    assert "@@" not in body


def test_how_it_was_trained_is_beside_it() -> None:
    training = embedded.embedded_folder() / document.TRAINING
    recipes = [yaml.safe_load(file.read_text()) for file in sorted(training.glob("*.yaml"))]
    assert {one["makes"] for one in recipes} == {"fadex", "checkpoint"}
    runs = sorted(training.glob("*.json"))
    assert runs
    for file in runs:
        assert "seed" in json.loads(file.read_text())["fingerprint"]["recipe"]
        lines = file.with_suffix(".jsonl").read_text().splitlines()
        assert all(json.loads(line)["step"] >= 0 for line in lines)
        assert '"/' not in file.read_text()
