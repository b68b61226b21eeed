"""`inscene build synthetic` as a user types it."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from painted_scenes import write_recipe, write_references
from test_generate_step import rows_of

from inscene.dataset.verify import verify


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_references(tmp_path_factory.mktemp("people") / "people")


def write_csv(path: Path, *rows: tuple[str, str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["prompt", "identity", "file_id"])
        for identity, file_id in rows:
            writer.writerow(["First a full-body photo of a person on a bridge.", identity, file_id])
    return path


class TestPlan:
    @pytest.fixture(autouse=True)
    def _all_weights_are_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And not only those that the judge's fixture, for all of this file, has published."""
        monkeypatch.delenv("INSCENE_WEIGHTS_MANIFEST", raising=False)

    def test_it_needs_no_weights(
        self, references: Path, tmp_path: Path, inscene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "none"))
        arguments = ["build", "synthetic", references, "--out", tmp_path / "out", "--plan"]
        shown = inscene(*arguments).stdout
        assert "15 jobs of 2 people" in shown
        assert "15 full-body" in shown
        assert "prompt of 00" in shown
        assert "inscene weights pull flux.1-dev infiniteyou-sim antiblur-lora" in shown
        assert re.search(r"flux.1-dev +33\.\d GB  FLUX.1-dev NC, gated\n", shown)
        assert "licences to accept, with --accept-licences at the first run" in shown
        assert "CC-BY-NC-4.0 (infiniteyou-sim): research and anything else that" in shown
        assert shown.count("The anti-blur LoRA is used at 3") == 1
        assert "These seconds are assumed (200 TFLOP/s), not measured" in shown
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / "none").exists()

        more = ["--images-per-reference", "2", "--full-body-ratio", "0"]
        facts = json.loads(inscene(*arguments, *more, "--json").stdout)
        assert facts["jobs"] == 10
        assert facts["shots"] == {"mid-up": 10}
        assert {"flux.1-dev", "ir-se-50", "buffalo_l"} <= set(facts["missing_weights"])
        assert facts["splits"] == {"train": {"jobs": 10, "people": 2}}
        assert facts["download_bytes"] > 40e9
        assert "not stated" in facts["licences_to_accept"]["ir-se-50"]

    def test_what_it_takes(self, references: Path, tmp_path: Path, inscene) -> None:
        """15 jobs of 12 s are three minutes, and half an hour where each takes ten tries."""
        arguments = ["build", "synthetic", references, "--out", tmp_path / "out", "--plan"]
        shown = inscene(*arguments, "--seconds-per-image", "12").stdout
        assert "GPU hours: 0.05 where every first try is taken, 0.50 where each job" in shown
        assert "assumed" not in shown
        half = ["--set", "generate.generator.steps=15", "--set", "generate.height_px=576"]
        (whole,), (some,) = (
            json.loads(inscene(*arguments, *more, "--json").stdout)["estimate"]
            for more in ([], [*half, "--limit", "5"])
        )
        assert whole["is_assumed"]
        assert some["gpu_hours"][0] == pytest.approx(whole["gpu_hours"][0] / 4 / 3)
        assert some["disk_bytes"] == pytest.approx(whole["disk_bytes"] / 2 / 3)

    def test_all_missing_weights_are_named_at_once(
        self, references: Path, tmp_path: Path, inscene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "none"))
        done = inscene("build", "synthetic", references, "--out", tmp_path / "out", code=4)
        assert "6 weights are not on this machine: flux.1-dev, infiniteyou-sim" in done.stderr
        assert "Run: inscene weights pull flux.1-dev infiniteyou-sim antiblur-lora" in done.stderr
        assert not (tmp_path / "out").exists()

    def test_splits_of_a_list(self, references: Path, tmp_path: Path, inscene) -> None:
        (tmp_path / "ids.txt").write_text("00289\n")
        done = inscene(
            "build", "synthetic", references, "--out", tmp_path / "out", "--plan", "--json",
            "--validation-ids", tmp_path / "ids.txt", "--images-per-identity", "4",
        )  # fmt: skip
        assert json.loads(done.stdout)["splits"] == {
            "train": {"jobs": 4, "people": 1},
            "validation": {"jobs": 4, "people": 1},
        }

    def test_options_that_exclude_each_other(
        self, references: Path, tmp_path: Path, inscene
    ) -> None:
        table = write_csv(tmp_path / "p.csv", ("00001", "0.png"))
        start = ["build", "synthetic", references, "--out", tmp_path / "out", "--plan"]
        done = inscene(*start, "--prompts", table, "--full-body-ratio", "0.5", code=2)
        assert "--prompts and --full-body-ratio exclude each other" in done.stderr
        done = inscene(*start, "--set", "generate.identity.mim=0.5", code=2)
        assert "Did you mean 'min'?" in done.stderr


@pytest.mark.usefixtures("judging_weights")
class TestRun:
    def test_every_row_of_a_csv_is_an_input(
        self, references: Path, tmp_path: Path, inscene
    ) -> None:
        """Two repeats, and two rows of a photo that is not there."""
        wanted = [("00001", "0.png"), ("00001", "0.png"), ("00289", "1.png")]
        gone = [("00289", "9.png"), ("00289", "9.png")]
        table = write_csv(tmp_path / "prompts.csv", *wanted, *gone)
        done = inscene(
            "build", "synthetic", references, "--out", tmp_path / "out", "--prompts", table,
            "--accept-licences", "--recipe", write_recipe(tmp_path / "painted.yaml", tries=30),
            "--json", code=1,
        )  # fmt: skip
        summary = json.loads(done.stdout)
        assert (summary["inputs"], summary["kept"]) == (5, 3)
        assert summary["errors"] == {"read/file_missing": 2}
        assert "unusable: 00289/9.png: file_missing" in done.stderr
        rows = rows_of(tmp_path / "out")
        assert {(row["identity"], row["repeat"]) for row in rows} == {
            ("00001", 0), ("00001", 1), ("00289", 0),
        }  # fmt: skip
        assert {row["split"] for row in rows} == {"validation"}
        assert len({row["seed"] for row in rows}) == 3

    def test_licences_are_accepted_once(
        self, references: Path, tmp_path: Path, inscene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        weights = tmp_path / "weights"
        shutil.copytree(os.environ["INSCENE_WEIGHTS"], weights)
        (weights / "licences.json").unlink(missing_ok=True)
        monkeypatch.setenv("INSCENE_WEIGHTS", str(weights))
        recipe = write_recipe(tmp_path / "painted.yaml", tries=1)
        accepting = [*command(references, tmp_path / "out", recipe), "--limit", "1"]
        refusing = [one for one in accepting if one != "--accept-licences"]
        done = inscene(*refusing, code=2)
        assert "licences of these weights have not been accepted" in done.stderr
        assert "buffalo_l: insightface NC, research that earns nothing" in done.stderr
        assert "add --accept-licences, once" in done.stderr
        assert not (tmp_path / "out").exists()
        inscene(*accepting)
        assert json.loads((weights / "licences.json").read_text()) == {
            "buffalo_l": "insightface NC"
        }
        assert "licences to accept" not in inscene(*refusing, "--plan").stdout

    def test_workers_do_not_matter(
        self, whole: str, recipe: Path, references: Path, tmp_path: Path, inscene
    ) -> None:
        more = ["--executor", "process", "--workers", "2"]
        assert make(inscene, references, tmp_path / "two", recipe, *more) == whole

    @pytest.mark.parametrize("seed", range(2))
    def test_killed_and_resumed(
        self, seed: int, whole: str, recipe: Path, references: Path, tmp_path: Path, inscene
    ) -> None:
        out = tmp_path / "out"
        driver = subprocess.Popen(
            [sys.executable, "-m", "inscene", *map(str, command(references, out, recipe)),
             "--executor", "process", "--workers", "2"],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not (out / "run/in-work").exists():
            assert time.monotonic() < deadline, "it never began"
            time.sleep(0.01)
        time.sleep(random.Random(seed).uniform(0.1, 0.6))
        driver.kill()
        driver.wait()
        assert make(inscene, references, out, recipe) == whole


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe") / "painted.yaml", slow_s=0.03)


@pytest.fixture(scope="module")
def whole(
    recipe: Path,
    references: Path,
    judging_weights: None,
    tmp_path_factory: pytest.TempPathFactory,
    inscene,
) -> str:
    """The table hash of what one process makes."""
    return make(inscene, references, tmp_path_factory.mktemp("whole") / "out", recipe)


def command(references: Path, out: Path, recipe: Path) -> list[str | Path]:
    start = ["build", "synthetic", references, "--out", out, "--accept-licences"]
    return [*start, "--recipe", recipe, "--seed", "3"]


def make(inscene, references: Path, out: Path, recipe: Path, *more: str) -> str:
    """The table hash of a whole dataset; the photo without a face costs its own jobs only."""
    inscene(*command(references, out, recipe), *more, code=1)
    verdict = verify(str(out))
    assert verdict.problems == []
    assert (verdict.inputs, verdict.errors) == (15, 3)
    assert verdict.kept >= 3
    assert verdict.table_hash is not None
    return verdict.table_hash
