"""benchmarks/ablation/run.py trains, restores and writes its page, and its probes are right."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch
from made_restorer import write_photos
from typer.testing import CliRunner

from inscene.cli.app import app
from inscene.errors import UsageError
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.training.restorer.recipe import DataChoices

PROGRAMS = Path(__file__).resolve().parents[2] / "benchmarks/ablation"
sys.path.insert(0, str(PROGRAMS))
try:
    import ablation_page
    import ablation_runs
    import ablation_scenes
    import ablation_scores
    import run as program
    from ablation_attention import watched
finally:
    sys.path.remove(str(PROGRAMS))

TINY = {
    "model.family": "tiny",
    "data.crop_px": 32,
    "data.scene_px": 64,
    "data.faces.stand_in_px": "[32, 36]",
    "validation.crop_px": 32,
    "validation.images": 2,
    "batch": 2,
    "micro_batch": 2,
    "loader_workers": 0,
    "log_every": 1,
}
SETS = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
TEXT = 77


class Here:
    """A training in this process, since a process of its own takes seconds to import torch."""

    def __init__(self, run: ablation_runs.Run, log: IO[str]) -> None:
        done = CliRunner().invoke(app, run.arguments())
        log.write(done.output)
        self._status = done.exit_code

    def poll(self) -> int:
        return self._status

    wait = poll

    def terminate(self) -> None:
        pass


def never(run: ablation_runs.Run, log: IO[str]) -> Here:
    raise AssertionError(f"{run.name} is done")


def lines(run_folder: Path) -> list[str]:
    return (run_folder / "log.jsonl").read_text().splitlines()


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of a run that is over."""
    folder = tmp_path_factory.mktemp("ablation")
    photos = write_photos(folder / "photos", 6)
    held_out = write_photos(folder / "held-out", 3, width=96, height=80)
    Face2ScenePipeline.from_family("tiny", 0).save_pretrained(folder / "vae")
    words = ["--photos", str(photos), "--held-out", str(held_out), "--fadex", "untrained"]
    words += ["--vae", str(folder / "vae"), "--out", str(folder / "out"), "--steps", "2"]
    words += ["--seeds", "0", "1", "--tokens", "0", "21", "--parallel", "1"]
    words += ["--page", str(folder / "page.md"), *SETS]
    assert program.main(words, Here) == 0
    return words


def out(words: list[str]) -> Path:
    return Path(words[words.index("--out") + 1])


def page(words: list[str]) -> Path:
    return Path(words[words.index("--page") + 1])


def table(said: str, first_head: str) -> list[list[str]]:
    (found,) = re.findall(rf"^\| {first_head}.*\n(?:\|.*\n?)+", said, flags=re.MULTILINE)
    return [[cell.strip() for cell in line.strip("| \n").split(" | ")]
            for line in found.splitlines()[2:]]  # fmt: skip


def test_every_table_has_its_rows(words: list[str]) -> None:
    said = page(words).read_text()
    assert [row[0] for row in table(said, r"less bicubic")] == ["no tokens"] * 2 + ["21 tokens"] * 2
    own, identity = said.split("## Why")[0].split("The same, where no clean pixel was seen")
    for part in (own, identity):
        for row in table(part, r"less no tokens"):
            assert row[0] == "21 tokens"
            assert len(row[-1].split()) == 2, "a difference for each seed"
    probed = [row[0] for row in table(said, r"less a square of the scene itself")]
    assert len(set(probed)) == len(ablation_scores.PROBED)
    (shares,) = table(said, r" +\| of the context")
    assert shares[:2] == ["21 tokens", f"{100 * 21 / (TEXT + 21):.1f} %"]
    assert "LPIPS" in said


def test_models_of_a_seed_begin_alike(words: list[str]) -> None:
    """The UNet begins as if it were not there: the first loss is that of the data and the noise,
    the first validation that of the VAE."""
    first = {}
    for tokens in (0, 21):
        for seed in (0, 1):
            logged = lines(out(words) / f"runs/tokens-{tokens}-seed-{seed}")
            start, step = logged[0], re.sub(r'"(\w+_per_s|data_wait|\w+gradient)": [^,}]+', "",
                                            logged[1])  # fmt: skip
            first[tokens, seed] = start, step
    assert first[0, 0] == first[21, 0]
    assert first[0, 1] == first[21, 1]
    assert first[0, 0] != first[0, 1]


def test_what_is_done_is_not_done_again_and_what_people_wrote_stays(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = page(words).read_text()
    assert ablation_page.NOTHING_YET in before
    written = "They do not help.\n\n### After three steps\n\nNothing does."
    page(words).write_text(before.replace(ablation_page.NOTHING_YET, written))
    monkeypatch.setattr(ablation_scores, "judged", lambda *_: pytest.fail("was measured before"))
    try:
        assert program.main(words, never) == 0
        after = page(words).read_text()
    finally:
        page(words).write_text(before)
    assert after == before.replace(ablation_page.NOTHING_YET, written)


def test_a_run_that_fails_is_named(tmp_path: Path) -> None:
    """In a process of its own, which ends before it imports torch."""
    setup = ablation_runs.Setup(("photos",), "untrained", "vae", tmp_path, 2, "train-restorer")
    wrong = ablation_runs.Run(setup, 0, "none")  # type: ignore[arg-type]
    said: list[str] = []
    assert ablation_runs.train([wrong], 1, said.append) == [wrong]
    assert f"{wrong.name}: ended with 2" in said[-1]
    assert str(wrong.file("log")) in said[-1]
    assert "'--seed'" in wrong.file("log").read_text()
    assert not wrong.is_done()


def test_held_out_photographs_are_held_out(words: list[str], tmp_path: Path) -> None:
    photos = Path(words[1])
    held_out = write_photos(tmp_path / "held-out", 2, width=96)
    ablation_scenes.must_be_apart([str(photos)], str(held_out))
    (held_out / "another-name.png").write_bytes(next(photos.iterdir()).read_bytes())
    with pytest.raises(UsageError, match="also trained on"):
        ablation_scenes.must_be_apart([str(photos)], str(held_out))


def test_faces_of_others(tmp_path: Path) -> None:
    choices = DataChoices.model_validate({"crop_px": 32, "faces": {"stand_in_px": (32, 36)}})
    photos = write_photos(tmp_path / "photos", 3, width=97)
    scenes = ablation_scenes.read_scenes(photos, choices)
    again = ablation_scenes.read_scenes(photos, choices)
    assert ablation_scenes.digest(scenes) == ablation_scenes.digest(again)
    for index, scene in enumerate(scenes):
        assert scene.hq.shape == (72, 96, 3), "whole, but for what the operator cannot divide"
        after = scenes[(index + 1) % 3]
        for one, other in zip(scene.faces["both"], after.faces["own"], strict=True):
            np.testing.assert_array_equal(one, other)
        # Side and place are this scene's, as is the operator.
        assert scene.faces["picture"][0].shape == scene.faces["own"][0].shape
        assert not np.array_equal(scene.faces["picture"][1], scene.faces["own"][1])


def test_silenced_tokens_are_zeros_and_come_back() -> None:
    pipeline = Face2ScenePipeline.from_family("tiny", 0)
    pair = FacePair(*torch.rand(2, 3, 40, 40).mul(2).sub(1))
    with ablation_scores._silenced(pipeline):
        (silent,) = pipeline.tokens([pair])
    (tokens,) = pipeline.tokens([pair])
    assert silent.shape == tokens.shape
    assert not silent.any()
    assert tokens.any()


def test_shares_of_attention() -> None:
    pipeline = Face2ScenePipeline.from_family("tiny", 0)
    unet, dim = pipeline.restorer.unet, pipeline.prompts.dim
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, 8, 8, generator=generator)
    context = torch.randn(1, 77 + 21, dim, generator=generator)

    def shares() -> dict[str, float]:
        with torch.no_grad(), watched(unet, TEXT) as seen:
            pipeline.restorer.predict(latents, context)
        return seen.means()

    before = shares()
    assert 0.1 < before["weight"] < 0.4
    assert 0 < before["norm"] < 1
    for name, parameter in unet.named_parameters():
        if "attn2.to_k" in name:
            torch.nn.init.zeros_(parameter)
    assert shares()["weight"] == pytest.approx(21 / 98, abs=1e-6), "all alike"
    context[:, TEXT:] = 0
    assert shares()["norm"] == 0, "values of zero add nothing"
    assert not any(module._forward_pre_hooks for module in unet.modules())
