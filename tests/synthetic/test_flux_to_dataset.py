"""From photographs to a dataset with the shipped recipe: all models in their official layouts, tiny
and random, pulled from a hub on this machine; FLUX, InfuseNet, projector and judge are the code
that real weights run through.

What such a FLUX paints is noise, and the detector is told to see faces in it; the recogniser's
cosines are arbitrary, so that some tries pass a threshold and others do not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from loopback.pulled import pulled
from PIL import Image
from test_generate_step import rows_of, without_provenance
from tiny_weights.insightface_packs import paint_face

from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.recipe import load_recipe
from inscene.synthetic.inputs import inputs_of
from inscene.synthetic.jobs import plan_from_grammar
from inscene.synthetic.prompts.grammar import Grammar
from inscene.synthetic.prompts.packs import load_packs, load_words

for _package in ("diffusers", "transformers", "peft", "insightface", "onnx", "facexlib"):
    pytest.importorskip(_package, reason="extra: generate")
pytestmark = [
    pytest.mark.xdist_group("flux"),
    pytest.mark.filterwarnings("ignore"),  # diffusers' own, from many places
]

MODELS = [
    "buffalo_l", "antelopev2", "ir-se-50", "flux.1-dev", "infiniteyou-sim", "antiblur-lora",
]  # fmt: skip
SMALL = [
    "width_px=64", "height_px=64", "tries=4", "device=cpu", "generator.steps=1",
    "generator.dtype=float32", "identity.min=0.2", "identity.min_score=0.001",
    "identity.sizes_px=[64]",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _weights(tmp_path_factory: pytest.TempPathFactory, inscene) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", "hf_canary")  # FLUX.1 [dev] is gated
        patch.setenv("INSCENE_CACHE", str(folder / "cache"))
        with pulled(MODELS, folder, inscene) as variables:
            for name, value in variables.items():
                patch.setenv(name, value)
            yield


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people") / "people"
    for person, shade in (("00001", 0), ("00289", 60)):
        photo = np.full((160, 160, 3), 15, np.uint8)
        paint_face(photo, 80, 80, 64)
        photo[70:90, 60:100] = 255 - shade
        (folder / person).mkdir(parents=True)
        Image.fromarray(photo).save(folder / person / "0.png")
    return folder


def make(references: Path, out: Path, *overrides: str) -> engine.Summary:
    settings = [f"generate.{value}" for value in SMALL]
    loaded, text = load_recipe("synthetic", [*settings, *overrides])
    grammar = Grammar(load_packs(), load_words())
    jobs = plan_from_grammar(references, grammar, seed=0, per_reference=3)
    plan = engine.plan_inputs(build(loaded, text), inputs_of(jobs, references), str(out))
    return engine.run(plan, engine.Workers("inline"))


def test_from_photographs_to_a_dataset(references: Path, tmp_path: Path) -> None:
    summary = make(references, tmp_path / "out")
    assert verify(str(tmp_path / "out")).problems == []
    assert summary.inputs == 6
    assert not summary.errors
    rows, drops = rows_of(tmp_path / "out"), rows_of(tmp_path / "out", "drops")
    assert rows
    tries = [one for row in [*rows, *drops] for one in row["tries"]]
    assert {one["reason"] for one in tries} > {None}, "no try was ever rejected"
    assert len({one["seed"] for one in tries}) == len(tries)
    for row in rows:
        assert row["identity_score"] >= np.float32(0.2)
        assert len(row["landmarks68"]) == 136
        facts = json.loads(row["generator"])
        assert facts["settings"]["guidance"] == 3.5
        assert {"flux.1-dev", "infiniteyou-sim", "antiblur-lora"} == set(facts["weights"])

    # Neither where the models lie nor who else is in work changes a bit.
    make(references, tmp_path / "again", "generate.memory=resident", "batch_rows=2")
    for part in ("data", "drops"):
        again = rows_of(tmp_path / "again", part)
        assert [*map(without_provenance, again)] == [
            *map(without_provenance, rows_of(tmp_path / "out", part))
        ]
