"""``generate`` in whole runs: jobs of the grammar, a painter in FLUX's place, the real judge."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painted_scenes import Painter, write_recipe, write_references

from inscene import images
from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.engine.rows import Fail, Row
from inscene.engine.step import StepContext
from inscene.recipe import load_recipe
from inscene.synthetic.generate.request import Request
from inscene.synthetic.inputs import inputs_of
from inscene.synthetic.jobs import Plan, plan_from_grammar, seed_of
from inscene.synthetic.judge import Verdict
from inscene.synthetic.prompts.grammar import Grammar
from inscene.synthetic.prompts.packs import load_packs, load_words
from inscene.synthetic.steps.rounds import Scene, make_scenes

models = [
    pytest.mark.usefixtures("judging_weights"),
]


def rows_of(dataset: Path, folder: str = "data") -> list[dict[str, Any]]:
    rows = pq.read_table(dataset / folder).to_pylist()
    return sorted(rows, key=lambda row: row["sample_id"])


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_references(tmp_path_factory.mktemp("people") / "people")


@pytest.fixture(scope="module")
def jobs(references: Path) -> Plan:
    """Five photographs, four prompts each."""
    grammar = Grammar(load_packs(), load_words(), full_body_ratio=0.5)
    return plan_from_grammar(references, grammar, seed=3, per_reference=4)


def run(jobs: Plan, references: Path, recipe: Path, out: Path, *overrides: str) -> engine.Summary:
    loaded, text = load_recipe(str(recipe), ["seed=3", *overrides])
    inputs = inputs_of(jobs, references)
    return engine.run(engine.plan_inputs(build(loaded, text), inputs, str(out)))


@pytest.fixture(scope="module")
def dataset(
    judging_weights: None, jobs: Plan, references: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("made")
    run(jobs, references, write_recipe(folder / "recipe.yaml"), folder / "out")
    return folder / "out"


class TestDataset:
    pytestmark = models

    def test_every_job_is_accounted_for(self, dataset: Path, jobs: Plan) -> None:
        verdict = verify(str(dataset))
        assert verdict.problems == []
        assert (verdict.inputs, verdict.errors) == (20, 4)
        assert verdict.kept >= 8  # some at once, some after retries
        assert verdict.dropped >= 1
        named = {row["sample_id"] for part in ("data", "drops") for row in rows_of(dataset, part)}
        assert named == {job.sample_id for job in jobs.jobs}

    def test_a_kept_scene_says_how_it_was_made(self, dataset: Path, jobs: Plan) -> None:
        by_id = {job.sample_id: job for job in jobs.jobs}
        retried = 0
        for row in rows_of(dataset):
            job = by_id[row["sample_id"]]
            for name in ("prompt", "identity", "file_id", "shot", "repeat", "split"):
                assert row[name] == getattr(job, name)
            slots = json.loads(row["slots"])
            assert slots.items() >= dict(job.slots).items()
            assert slots["pack"] == job.pack
            tries = row["tries"]
            assert [one["attempt"] for one in tries] == list(range(len(tries)))
            assert [one["seed"] for one in tries] == [
                seed_of(3, job.id, attempt) for attempt in range(len(tries))
            ]
            *rejected, taken = tries
            assert taken["reason"] is None
            assert all(one["reason"] for one in rejected)
            assert (row["attempt"], row["seed"]) == (taken["attempt"], taken["seed"])
            assert taken["similarity"] == row["scores"]["identity"] >= 0.55
            assert row["identity_score"] == np.float32(taken["similarity"])
            assert row["identity_model"] == "w600k_r50"
            assert json.loads(row["generator"]) == {"generator": "painter"}
            assert len(row["face_bbox"]) == 4
            assert len(row["landmarks5"]) == 10
            retried += len(tries) > 1
        assert retried >= 2

    def test_the_image_is_the_one_of_its_seed(self, dataset: Path, references: Path) -> None:
        for row in rows_of(dataset):
            photo = references / row["identity"] / row["file_id"]
            request = Request(row["prompt"], photo.read_bytes(), row["seed"], 192, 256)
            (expected,) = Painter().generate([request])
            stored = images.decode(row["image"]["bytes"]).pixels
            np.testing.assert_array_equal(stored, expected)
            assert (row["width"], row["height"]) == (192, 256)

    def test_a_dropped_job_keeps_its_tries(self, dataset: Path) -> None:
        dropped = [row for row in rows_of(dataset, "drops") if row["kind"] == "drop"]
        for row in dropped:
            assert [one["attempt"] for one in row["tries"]] == [0, 1, 2, 3]
            reasons = [one["reason"] for one in row["tries"]]
            assert row["reason"] in reasons
            alike = [one["similarity"] for one in row["tries"] if one["similarity"] is not None]
            assert max(alike, default=-1) < 0.55
            assert row["scores"]["identity"] == max(alike, default=None)
            assert row["shot"] in ("full-body", "mid-up")
            assert row["thumbnail"] is not None

    def test_a_reference_without_a_face_fails_alone(self, dataset: Path) -> None:
        failed = [row for row in rows_of(dataset, "drops") if row["kind"] == "error"]
        assert {row["reason"] for row in failed} == {"no_face_in_reference"}
        assert all(row["sample_id"].startswith("00289/7-") for row in failed)
        assert all(row["tries"] is None for row in failed)

    def test_nothing_of_a_reference_is_in_the_dataset(
        self, dataset: Path, references: Path
    ) -> None:
        assert all(row["sha256"] is None for row in rows_of(dataset))
        assert all(row["image"]["path"].endswith("-r0.png") for row in rows_of(dataset))
        failed = [row for row in rows_of(dataset, "drops") if row["kind"] == "error"]
        assert all(row["thumbnail"] is None for row in failed)

    @pytest.mark.parametrize("override", ["batch_rows=1", "shard_rows=20"])
    def test_batches_and_shards_do_not_matter(
        self, override: str, dataset: Path, jobs: Plan, references: Path, tmp_path: Path
    ) -> None:
        recipe = write_recipe(tmp_path / "recipe.yaml")
        run(jobs, references, recipe, tmp_path / "out", override)
        for part in ("data", "drops"):
            there = [without_provenance(row) for row in rows_of(dataset, part)]
            assert [without_provenance(row) for row in rows_of(tmp_path / "out", part)] == there

    def test_a_row_without_a_job_fails(self, tmp_path: Path) -> None:
        loaded, text = load_recipe(str(write_recipe(tmp_path / "recipe.yaml")))
        ((_, step),) = build(loaded, text).steps
        call = step.setup(StepContext(0))
        (outcome,) = call([Row("a", {"sample_id": "a", "image": {"bytes": b"", "path": "a"}})])
        assert isinstance(outcome, Fail)
        assert outcome.reason == "no_job"


def without_provenance(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "provenance"}


NOBODY = np.zeros(512, np.float32)


class Studio:
    """Images are numbers; a scene is accepted at the attempt that its own table says."""

    def __init__(self, needs: Sequence[int], judging_s: float = 0.0) -> None:
        self.needs = dict(zip(map(str, range(len(needs))), needs, strict=True))
        self.chunks: list[list[str]] = []
        self.judging_s = judging_s

    def scenes(self) -> list[Scene]:
        return [Scene(name, name, NOBODY) for name in self.needs]

    def sample(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[Any]:
        self.chunks.append([scene.job_id for scene in scenes])
        return [
            np.array([int(scene.job_id), seed]) for scene, seed in zip(scenes, seeds, strict=True)
        ]

    def look(self, image: Any, reference: Any, shot: str | None) -> Verdict:
        time.sleep(self.judging_s)
        name, attempt = (int(value) for value in image)
        good = attempt >= self.needs[str(name)]
        return Verdict(None if good else "unlike_reference", attempt / 100)

    def run(self, tries: int, batch: int) -> list[Scene]:
        scenes = self.scenes()
        make_scenes(
            scenes,
            self.sample,
            self.look,
            lambda _, attempt: attempt,
            tries=tries,
            batch=batch,
        )
        return scenes


class TestRounds:
    @settings(max_examples=30, deadline=None)
    @given(
        needs=st.lists(st.integers(0, 5), max_size=7),
        tries=st.integers(1, 4),
        batch=st.integers(1, 3),
    )
    def test_each_scene_gets_what_it_needs_in_order(self, needs, tries, batch) -> None:
        studio = Studio(needs)
        for scene, need in zip(studio.run(tries, batch), needs, strict=True):
            assert len(scene.tries) == min(need + 1, tries)
            assert scene.accepted == (need < tries)
            assert scene.image is not None
            assert scene.image[1] == min(need, tries - 1)  # the accepted one, or the most alike
        expected = []
        for attempt in range(tries):
            pending = [name for name, need in studio.needs.items() if need >= attempt]
            expected += [pending[at : at + batch] for at in range(0, len(pending), batch)]
        assert studio.chunks == expected

    def test_batches_do_not_depend_on_how_fast_the_judge_is(self) -> None:
        fast, slow = Studio([2, 0, 1, 3, 0]), Studio([2, 0, 1, 3, 0], judging_s=0.01)
        fast.run(4, 2)
        slow.run(4, 2)
        assert fast.chunks == slow.chunks

    def test_the_next_image_is_made_while_one_is_judged(self) -> None:
        sampled, judging = threading.Event(), threading.Event()

        class Overlapping(Studio):
            def sample(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[Any]:
                if self.chunks:  # the second image
                    assert judging.wait(10)
                    sampled.set()
                return super().sample(scenes, seeds)

            def look(self, image: Any, reference: Any, shot: str | None) -> Verdict:
                if image[0] == 0:
                    judging.set()
                    assert sampled.wait(10), "the judge has to wait for nobody, and nobody for it"
                return super().look(image, reference, shot)

        assert all(scene.accepted for scene in Overlapping([0, 0]).run(1, 1))

    @pytest.mark.parametrize("attempts", [1, 3])
    def test_what_the_judge_raises_arrives(self, attempts: int) -> None:
        class Broken(Studio):
            def look(self, image: Any, reference: Any, shot: str | None) -> Verdict:
                raise ZeroDivisionError("a bug in the judge")

        with pytest.raises(ZeroDivisionError):
            Broken([0, 0]).run(attempts, 1)
