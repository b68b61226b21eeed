"""``inscene restore`` with a tiny checkpoint, as it is typed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("facenet_pytorch")

Cli = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path, astronaut: np.ndarray) -> Path:
    """One with a face of 80 px, one without."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(astronaut[40:200, 140:300].copy()).save(folder / "eileen.jpg", quality=95)
    Image.fromarray(astronaut[:80, 300:420].copy()).save(folder / "flag.png")
    return folder


@pytest.fixture
def command(checkpoint: Path, tmp_path: Path) -> list[Any]:
    return ["--checkpoint", checkpoint, "--out", tmp_path / "out"]


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_photo(cli: Cli, photos: Path, command: list[Any], tmp_path: Path) -> None:
    said = cli("restore", photos / "eileen.jpg", *command)
    assert said.out.splitlines() == [
        f"{tmp_path}/out: 1 image = 1 restored + 0 errors",
        "       1  no_references: no photographs of the person (--references)",
        "       1  text_tokens_only: restored without degradation tokens",
    ]
    assert size_of(tmp_path / "out/eileen.png") == (160, 160)
    again = cli("restore", photos / "eileen.jpg", *command)
    assert "1 restored (1 there already) + 0 errors" in again.out


def test_a_folder(cli: Cli, photos: Path, command: list[Any], tmp_path: Path) -> None:
    options = ["--blind", "identity", "--side-by-side", "--upscale", "2", "--json"]
    said = cli("restore", photos, *command, *options)
    result = json.loads(said.out)
    assert (result["inputs"], result["kept"], result["errors"]) == (2, 2, {})
    assert result["notes"] == {"no_references": 2, "no_face": 1, "text_tokens_only": 1}
    out = tmp_path / "out"
    assert size_of(out / "flag.png") == (240, 160)
    assert size_of(out / "eileen.compare.png") == (648, 320)
    lines = [json.loads(line) for line in (out / "restored.jsonl").read_text().splitlines()]
    assert [line["input"] for line in lines] == ["eileen.jpg", "flag.png"]
    assert list(lines[0]["stage_s"]) == ["find_face", "restore_face", "restore_scene"]
    assert lines[0]["restore_s"] == pytest.approx(sum(lines[0]["stage_s"].values()), abs=0.002)


def test_only_the_first(cli: Cli, photos: Path, command: list[Any], tmp_path: Path) -> None:
    assert "1 image = " in cli("restore", photos, *command, "--limit", "1").out
    assert not (tmp_path / "out/flag.png").exists()


def test_one_that_is_broken(cli: Cli, photos: Path, command: list[Any], tmp_path: Path) -> None:
    (photos / "eileen.jpg").write_bytes((photos / "eileen.jpg").read_bytes()[:900])
    said = cli("restore", photos, *command, code=1)
    assert "2 images = 1 restored + 1 errors" in said.out
    assert "1  error: image_truncated" in said.out
    assert "eileen.jpg: image_truncated" in said.err
    assert (tmp_path / "out/flag.png").is_file()


def test_a_program_restores_with_references(
    cli: Cli, photos: Path, command: list[Any], program, astronaut: np.ndarray, tmp_path: Path
) -> None:
    people = tmp_path / "people"
    people.mkdir()
    Image.fromarray(astronaut[20:220, 120:320][:, ::-1].copy()).save(people / "mirrored.png")
    name = program.write(references=True)
    options = ["--ref-fr", name, "--references", people, "--option", "face=largest"]
    said = cli("restore", photos, *command, *options)
    assert program.runs == [1]
    assert "no_references" not in said.out
    assert "1  no_face" in said.out


def test_a_dataset(cli: Cli, pairs: Path, command: list[Any], tmp_path: Path) -> None:
    said = cli("restore", pairs, *command, "--limit", "1")
    assert f"{tmp_path}/out: 1 inputs = 1 kept + 0 dropped + 0 errors" in said.out
    assert "1  text_tokens_only: restored without degradation tokens" in said.out
    assert "stages, median: restore_scene " in said.out
    (tmp_path / "json").mkdir()
    command[-1] = tmp_path / "json/out"
    facts = json.loads(cli("restore", pairs, *command, "--limit", "1", "--json").out)
    assert facts["notes"] == {"no_references": 1, "text_tokens_only": 1}
    assert list(facts["stage_s"]) == ["restore_scene"]


def test_a_plan(cli: Cli, photos: Path, pairs: Path, command: list[Any], tmp_path: Path) -> None:
    text = cli("restore", photos, *command, "--plan", "--ref-fr", "faceme").out
    for part in ("face2scene: 2 images", "licence: Apache-2.0", "restored by faceme (medium)"):
        assert part in text
    facts = json.loads(cli("restore", photos, *command, "--plan", "--json").out)
    assert facts["outputs"] == ["eileen.png", "flag.png"]
    assert facts["missing"] == []
    of_pairs = json.loads(cli("restore", pairs, *command, "--plan", "--json").out)
    assert of_pairs["makes"] == "restored"
    variant = ["--method", "face2scene-1token", "--plan"]
    text = cli("restore", photos, "--out", tmp_path / "out", *variant).out
    assert "missing: It needs a checkpoint of its own" in text
    text = cli("restore", photos, "--out", tmp_path / "out", "--plan").out
    assert "checkpoint: face2scene-small, the small model that ships" in text
    assert "missing" not in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--option", "guidence_scale=2"], 2, "Did you mean 'guidance_scale'?"),
        (["--option", "colour_fix"], 2, "--option takes KEY=VALUE"),
        (["--colour-fix", "wavlet"], 2, "colour_fix: Input should be 'wavelet', 'adain' or 'none'"),
        (["--ref-fr", "facem"], 2, "Did you mean 'faceme'?"),
        (["--ref-fr", "gt"], 2, "would look at clean images, and there are none"),
        (["--blind", "codeformer"], 4, "No checkout at"),
        (["--device", "gpu"], 2, "'gpu' is none of auto, cpu, cuda, cuda:1, mps"),
        (["--device", "cuda:7"], 4, "There is no cuda:7 here"),
        (["--upscale", "0"], 2, "--upscale"),
        (["--workers", "2"], 2, "--workers is for datasets, and these are images"),
        (["--method", "face2scen"], 2, "Did you mean 'face2scene'?"),
        (["--method", "face2scene-5tokens"], 2, "has 5 degradation tokens, this checkpoint 21"),
        (["--method", "bicubic"], 2, "no parameter 'checkpoint' of bicubic It has none."),
        (["--references", "nobody"], 2, "there is no folder of references"),
        (["--no-such-option"], 2, "No such option"),
    ],
)
def test_mistakes(
    cli: Cli, photos: Path, command: list[Any], options: list[str], code: int, says: str
) -> None:
    said = cli("restore", photos, *command, *options, code=code)
    assert says in " ".join(said.err.replace("│", " ").split())
    assert said.out == ""
    assert not Path(command[-1]).exists()


@pytest.mark.parametrize("option", ["--side-by-side", "--overwrite", "--upscale=2"])
def test_what_a_dataset_has_no_use_for(
    cli: Cli, pairs: Path, command: list[Any], option: str
) -> None:
    said = cli("restore", pairs, *command, option, code=2)
    assert f"{option.partition('=')[0]} is for images, and this is a dataset" in said.err


def test_no_checkpoint(cli: Cli, photos: Path, tmp_path: Path) -> None:
    """The one that ships restores, and says so."""
    said = cli("restore", photos / "flag.png", "--out", tmp_path / "out")
    assert "face2scene-small restores: the small model that ships" in said.err
    assert "1  embedded_checkpoint: by face2scene-small, which is for trying out" in said.out
    assert size_of(tmp_path / "out/flag.png") == (120, 80)
    (line,) = map(json.loads, (tmp_path / "out/restored.jsonl").read_text().splitlines())
    assert line["checkpoint"] == "face2scene-small"
    assert len(line["checkpoint_sha256"]) == 64
    said = cli("restore", photos / "flag.png", "--out", tmp_path / "json", "--json")
    assert json.loads(said.out)["notes"]["embedded_checkpoint"] == 1


def test_its_name_and_a_folder_of_that_name(
    cli: Cli, photos: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(checkpoint, tmp_path / "face2scene-small")
    hashes = []
    for given in ("face2scene-small", "./face2scene-small", checkpoint):
        cli("restore", photos / "flag.png", "--out", "out", "--checkpoint", given)
        (line,) = map(json.loads, (tmp_path / "out/restored.jsonl").read_text().splitlines())
        assert ("checkpoint" in line) == (given == "face2scene-small")
        hashes.append(line["checkpoint_sha256"])
    assert hashes[0] != hashes[1] == hashes[2]


def test_checkpoints_that_are_none(cli: Cli, photos: Path, tmp_path: Path) -> None:
    said = cli(
        "restore", photos, "--out", tmp_path / "out", "--method", "face2scene-1token", code=4
    )
    assert "give --checkpoint" in said.err
    assert not (tmp_path / "out").exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    for given, says in ((empty, "no Face2Scene checkpoint"), ("x", "there is no such folder")):
        said = cli("restore", photos, "--out", tmp_path / "out", "--checkpoint", given, code=2)
        assert says in said.err


@pytest.mark.parametrize("dataset", [False, True])
def test_a_checkpoint_that_was_changed(
    cli: Cli, photos: Path, pairs: Path, checkpoint: Path, tmp_path: Path, dataset: bool
) -> None:
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    (copy / "fadex/config.json").write_text("{}")
    source = pairs if dataset else photos
    said = cli("restore", source, "--out", tmp_path / "out", "--checkpoint", copy, code=5)
    assert "the checkpoint is not what it was when it was saved" in said.err
    assert "fadex/config.json" in said.err


def test_sources_that_are_none(cli: Cli, command: list[Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no image")
    for source in ("empty", "nowhere"):
        cli("restore", tmp_path / source, *command, code=2)
        assert not Path(command[-1]).exists()
    said = cli("restore", tmp_path / "text.txt", *command, code=1)
    assert "1 image = 0 restored + 1 errors" in said.out


# As a process of its own


def test_ctrl_c(photos: Path, command: list[Any], tmp_path: Path) -> None:
    """Files are whole, and nobody else has said anything: neither torch nor what diffusers imports
    wherever it is installed."""
    for index in range(60):
        shutil.copy(photos / "eileen.jpg", photos / f"f{index:02}.jpg")
    arguments = ["restore", photos, *command, "--blind", "identity", "--device", "cpu"]
    line = [sys.executable, "-m", "inscene", *map(str, arguments)]
    run = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not list((tmp_path / "out").glob("*.png")):
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    shown, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert shown == ""
    others = [line.strip() for line in said.splitlines() if not line.startswith("restore ")]
    assert others == ["error: interrupted", "The same command goes on."]
    record = (tmp_path / "out/restored.jsonl").read_text().splitlines()
    outputs = {json.loads(one)["output"] for one in record}
    there = {path.name for path in (tmp_path / "out").iterdir()} - {"restored.jsonl"}
    assert outputs <= there  # nothing else but the one at work then, whole
    assert len(there - outputs) <= 1
    assert 0 < len(there) < 62
    assert all(size_of(tmp_path / "out" / name)[0] > 0 for name in there)
