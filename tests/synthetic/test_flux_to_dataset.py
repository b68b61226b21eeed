"""From photographs to a dataset with the shipped recipe, as a user types it: all models in their
official layouts, tiny and random, pulled from a hub on this machine; FLUX, InfuseNet, projector and
judge are the code that real weights run through.

What such a FLUX paints is noise, and the detector is told to see faces in it; the recogniser's
cosines are arbitrary, so that some tries pass a threshold and others do not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from loopback.pulled import pulled
from package_photos import write_package_people
from test_generate_step import rows_of, without_provenance

from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.recipe import load_recipe
from inscene.synthetic.inputs import inputs_of
from inscene.synthetic.jobs import plan_from_grammar, seed_of
from inscene.synthetic.prompts.grammar import Grammar
from inscene.synthetic.prompts.packs import load_packs, load_words
from inscene.synthetic.split import split_by_list

for _package in ("diffusers", "transformers", "peft", "insightface", "onnx", "facexlib"):
    pytest.importorskip(_package, reason="extra: generate")
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # diffusers' own, from many places
]

MODELS = [
    "buffalo_l", "antelopev2", "ir-se-50", "flux.1-dev", "infiniteyou-sim", "antiblur-lora",
]  # fmt: skip
LEAST, TRIES = 0.35, 3
SMALL = [
    "width_px=64", "height_px=80", f"tries={TRIES}", "device=cpu", "generator.steps=1",
    "generator.dtype=float32", f"identity.min={LEAST}", "identity.min_score=0.001",
    "identity.sizes_px=[64]",
]  # fmt: skip

PAPER = {
    "prompt": "prompt",
    "resolution": "width",
    "face box": "face_bbox",
    "landmarks": "landmarks68",
    "file id": "file_id",
    "similarity": "identity_score",
    "tags": "tags",
}
"""What the paper stores of a scene (section 6.1), and the columns."""
REPRODUCIBLE = ("identity", "slots", "shot", "repeat", "seed", "attempt", "tries", "generator")


@pytest.fixture(scope="module", autouse=True)
def _weights(tmp_path_factory: pytest.TempPathFactory, inscene) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", "hf_canary")  # FLUX.1 [dev] is gated
        patch.setenv("INSCENE_CACHE", str(folder / "cache"))
        with pulled(MODELS, folder, inscene):
            yield


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package_people(tmp_path_factory.mktemp("people") / "people")


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("split") / "ids.txt"
    file.write_text("00289\n")
    return file


@pytest.fixture(scope="module")
def scenes(
    references: Path, validation: Path, tmp_path_factory: pytest.TempPathFactory, inscene
) -> Path:
    out = tmp_path_factory.mktemp("made") / "scenes"
    sets = [part for value in SMALL for part in ("--set", f"generate.{value}")]
    done = inscene(
        "build", "synthetic", references, "--out", out, "--validation-ids", validation,
        "--accept-licences", "--executor", "inline", *sets,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if line.strip()]
    assert said[0].startswith("The anti-blur LoRA is used at 3:")  # once, and no library speaks
    assert not [line for line in said[1:] if "inputs" not in line and "synthetic" not in line]
    return out


def test_from_photographs_to_a_dataset(scenes: Path) -> None:
    verdict = verify(str(scenes))
    assert verdict.problems == []
    assert (verdict.inputs, verdict.errors) == (12, 0)
    rows, drops = rows_of(scenes), rows_of(scenes, "drops")
    assert len(rows) + len(drops) == 12
    assert {row["split"] for row in rows} == {"train", "validation"}
    for row in rows:
        assert row["split"] == ("validation" if row["identity"] == "00289" else "train")
    assert any(row["attempt"] > 0 for row in rows), "no scene was taken at a second try"
    assert {row["reason"] for row in drops} == {"unlike_reference"}
    assert all(len(row["tries"]) == TRIES for row in drops)
    tries = [one for row in [*rows, *drops] for one in row["tries"]]
    assert {one["reason"] for one in tries} > {None}, "no try was ever rejected"
    assert len({one["seed"] for one in tries}) == len(tries)


def test_a_row_has_what_the_paper_stores_and_what_makes_it_again(scenes: Path) -> None:
    for row in rows_of(scenes):
        for column in (*PAPER.values(), *REPRODUCIBLE):
            assert row[column] is not None, column
        assert (row["width"], row["height"]) == (64, 80)
        assert row["prompt"].count(". ") == 3
        assert row["file_id"] in ("0.png", "1.png", "12.png", "3.png")
        assert np.float32(LEAST) <= row["identity_score"] <= 1
        assert [len(row[name]) for name in ("face_bbox", "landmarks5", "landmarks68")] == [
            4, 10, 136,
        ]  # fmt: skip
        assert json.loads(row["slots"])["pack"].replace("-", " ") in row["tags"]
        assert row["tries"][-1]["attempt"] == row["attempt"]
        assert row["tries"][-1]["seed"] == row["seed"]
        facts = json.loads(row["generator"])
        settings = facts["settings"]
        assert (settings["guidance"], settings["lora_scale"]) == (3.5, 3.0)
        assert {"steps", "dtype", "infuse_scale", "infuse_start", "infuse_end"} <= set(settings)
        assert {"flux.1-dev", "infiniteyou-sim", "antiblur-lora"} == set(facts["weights"])
        assert all(len(one) == 64 for files in facts["weights"].values() for one in files.values())
        assert {"torch", "diffusers", "transformers", "peft"} == set(facts["packages"])


def test_neither_memory_nor_company_changes_a_bit(
    scenes: Path, references: Path, validation: Path, tmp_path: Path
) -> None:
    overrides = [f"generate.{value}" for value in SMALL]
    loaded, text = load_recipe(
        "synthetic", [*overrides, "generate.memory=resident", "batch_rows=2", "shard_rows=5"]
    )
    grammar = Grammar(load_packs(), load_words())
    split = split_by_list({"00001", "00289", "00704"}, validation)
    jobs = plan_from_grammar(references, grammar, seed=0, per_reference=3, split=split)
    plan = engine.plan_inputs(
        build(loaded, text), inputs_of(jobs, references)[:5], str(tmp_path / "again")
    )
    engine.run(plan, engine.Workers("inline"))
    by_id = {job.sample_id: job for job in jobs.jobs}
    compared = 0
    for part in ("data", "drops"):
        before = {row["sample_id"]: without_provenance(row) for row in rows_of(scenes, part)}
        for row in rows_of(tmp_path / "again", part):
            assert without_provenance(row) == before[row["sample_id"]]
            job = by_id[row["sample_id"]]
            assert [one["seed"] for one in row["tries"]] == [
                seed_of(0, job.id, attempt) for attempt in range(len(row["tries"]))
            ]
            compared += 1
    assert compared == 5


def test_inspect_shows_it(scenes: Path, inscene) -> None:
    facts = json.loads(inscene("inspect", scenes, "--json").stdout)
    kept = len(rows_of(scenes))
    assert facts["rows"] == facts["samples"] == kept
    assert set(facts["counts"]["split"]) == {"train", "validation"}
    assert sum(facts["counts"]["identity"].values()) == kept
    score = facts["numbers"]["identity_score"]
    assert score["count"] == kept
    assert score["min"] >= np.float32(LEAST)


def test_it_is_degraded_and_measured(scenes: Path, tmp_path: Path, inscene) -> None:
    inscene("degrade", scenes, "--out", tmp_path / "pairs", "--executor", "inline")
    pairs: list[dict[str, Any]] = pq.read_table(tmp_path / "pairs/data").to_pylist()
    of_scene = {row["sample_id"]: row for row in rows_of(scenes)}
    assert {pair["sample_id"] for pair in pairs} == set(of_scene)
    for pair in pairs:
        scene = of_scene[pair["sample_id"]]
        for column in ("identity", "split", "face_bbox", "landmarks5", "width", "height"):
            assert pair[column] == scene[column], column
    done = inscene(
        "bench", "--method", "bicubic", "--dataset", tmp_path / "pairs", "--out",
        tmp_path / "results", "--metrics", "psnr", "--executor", "inline",
    )  # fmt: skip
    assert "bicubic" in done.stdout + done.stderr
    (scores,) = (tmp_path / "results/pairs--bicubic").glob("scores-*")
    assert len(pq.read_table(scores / "data")) == len(pairs)


def test_the_speed_program_compares_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what it does on a GPU can be built: here in other sizes."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks/speed"))
    import argparse

    import generate as program
    import generate_random
    import torch
    from tiny_weights.flux import TRANSFORMER
    from tiny_weights.infusenet import INFUSENET

    for name, sizes in (
        ("FLUX", TRANSFORMER),
        ("INFUSENET", INFUSENET),
        ("T5", generate_random.T5 | {"d_model": 32, "d_ff": 64, "num_heads": 2, "num_layers": 1}),
        ("CLIP", generate_random.CLIP | {"hidden_size": 16, "intermediate_size": 16,
                                         "num_attention_heads": 2, "num_hidden_layers": 1}),
        ("VAE", generate_random.VAE | {"block_out_channels": (4,) * 4, "norm_num_groups": 1}),
    ):  # fmt: skip
        monkeypatch.setattr(generate_random, name, sizes)
    monkeypatch.setattr(program, "BATCHES", (1,))
    options = argparse.Namespace(people=1, prompts=2, tries=2)
    flux = program.FluxSettings(steps=1, dtype="float32")
    rule = program.IdentityRule(min=LEAST, sizes_px=(64,), min_score=0.001)
    cpu = torch.device("cpu")
    places = program.Resident(
        lambda: program.load_text_encoders(flux), lambda: program.load_sampler(flux), cpu
    )
    jobs = program.plan(tmp_path, options, 64)
    exact, _ = program.compare(program.Setting(flux, places, cpu, jobs, rule), 1, tmp_path)
    assert exact.what == "batch 1: largest difference of an image"
    assert exact.met
    assert capsys.readouterr().out.count("2 of 2 |") == 2  # plain itself, and batch 1

    places = program.Resident(
        lambda: program.random_text_encoders(flux),
        lambda: program.random_sampler(flux, quantised=True),
        cpu,
    )
    generator = program.FluxGenerator(flux, device="cpu", places=places)
    request = program.Request(jobs[0].prompt, jobs[0].reference.read_bytes(), 1, 64, 80)
    (image,) = generator.generate([request])
    assert image.shape == (80, 64, 3)
