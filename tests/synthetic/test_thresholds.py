"""`inscene funnel --set` over synthetic scenes: what it tells is what another run would give."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from painted_scenes import write_recipe, write_references
from test_generate_step import rows_of, run

from inscene.engine.what_if import WhatIf, what_if
from inscene.synthetic.jobs import Plan, plan_from_grammar
from inscene.synthetic.prompts.grammar import Grammar
from inscene.synthetic.prompts.packs import load_packs, load_words
from inscene.synthetic.steps.generate import MORE_TRIES

pytestmark = [
    pytest.mark.usefixtures("judging_weights"),
]


@dataclass(frozen=True)
class Made:
    folder: Path
    jobs: Plan
    references: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def again(self, *overrides: str) -> Path:
        """The same jobs under other thresholds."""
        out = self.folder / "-".join(overrides).replace(":", "_")
        run(self.jobs, self.references, self.folder / "recipe.yaml", out, *overrides)
        return out


@pytest.fixture(scope="module")
def made(judging_weights: None, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    references = write_references(folder / "people")
    grammar = Grammar(load_packs(), load_words())
    jobs = plan_from_grammar(references, grammar, seed=3, per_reference=6)
    run(jobs, references, write_recipe(folder / "recipe.yaml"), folder / "out")
    return Made(folder, jobs, references)


def attempts(dataset: Path) -> dict[str, int]:
    return {row["sample_id"]: row["attempt"] for row in rows_of(dataset)}


def all_of(groups: dict[str, list[str]]) -> set[str]:
    return {name for names in groups.values() for name in names}


STEP = "painted_scenes:PaintScenes"


def compare(asked: WhatIf, before: dict[str, int], after: dict[str, int]) -> None:
    """Nothing is unknown, and everything is as it was told."""
    assert not asked.unknown
    assert asked.kept == len(before)
    assert all_of(asked.lost) == before.keys() - after.keys()
    assert all_of(asked.gained) == after.keys() - before.keys()
    others = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    assert set(asked.other_image) == others


def test_a_lower_threshold(made: Made) -> None:
    asked = what_if(str(made.out), ["identity.min=0.42"])
    compare(asked, attempts(made.out), attempts(made.again(f"{STEP}.identity.min=0.42")))
    assert f"{STEP}/unlike_reference" in asked.gained
    assert asked.other_image
    assert not asked.lost


def test_fewer_tries(made: Made) -> None:
    asked = what_if(str(made.out), ["tries=2"])
    compare(asked, attempts(made.out), attempts(made.again(f"{STEP}.tries=2")))
    assert asked.lost
    assert not asked.gained


def test_several_at_once(made: Made) -> None:
    asked = what_if(str(made.out), ["identity.min=0.3", f"{STEP}.tries=1"])
    again = made.again(f"{STEP}.identity.min=0.3", f"{STEP}.tries=1")
    compare(asked, attempts(made.out), attempts(again))
    assert [change.key for change in asked.changes] == [f"{STEP}.identity.min", f"{STEP}.tries"]
    assert [change.was for change in asked.changes] == [0.55, 4]


def test_a_higher_threshold_says_what_it_cannot_know(made: Made) -> None:
    asked = what_if(str(made.out), ["identity.min=0.6"])
    before, after = attempts(made.out), attempts(made.again(f"{STEP}.identity.min=0.6"))
    unknown = set(asked.unknown[MORE_TRIES])
    assert unknown
    assert asked.kept_unknown == len(unknown)
    certain = before.keys() - unknown - all_of(asked.lost)
    assert {name: before[name] for name in certain} == {name: after[name] for name in certain}
    assert all_of(asked.lost).isdisjoint(after)
    assert after.keys() - certain <= unknown
    assert not asked.gained


def test_a_gate_that_was_off(made: Made) -> None:
    """Every face is 64 px of 256: a quarter of the image."""
    assert not what_if(str(made.out), ["gates.full_body=0.25"]).lost
    asked = what_if(str(made.out), ["gates.full_body=0.2", "tries=1"])
    after = attempts(made.again(f"{STEP}.gates.full_body=0.2", f"{STEP}.tries=1"))
    compare(asked, attempts(made.out), after)
    assert after == {}
    assert f"{STEP}/not_full_body" in asked.lost


def test_more_tries_than_were_made(made: Made) -> None:
    asked = what_if(str(made.out), ["tries=9"])
    dropped = {row["sample_id"] for row in rows_of(made.out, "drops") if row["kind"] == "drop"}
    assert set(asked.unknown[MORE_TRIES]) == dropped
    assert not any((asked.lost, asked.gained, asked.other_image))


def test_the_command(made: Made, inscene) -> None:
    shown = inscene("funnel", made.out, "--set", "identity.min=0.42").stdout
    assert "identity.min 0.42 in place of 0.55" in shown
    assert "dropped rows would pass" in shown
    assert "an earlier try" in shown
    facts = json.loads(inscene("funnel", made.out, "--set", "tries=2", "--json").stdout)
    assert facts["what_if"]["kept"] == facts["kept"]
    assert facts["what_if"]["lost"]
