"""What the commands print: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from inscene.errors import InsceneError

if TYPE_CHECKING:
    from inscene.engine.run import Plan, Summary
    from inscene.gallery.needs import Lacking


def say(message: str = "") -> None:
    print(message, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, sort_keys=True))


def report_error(error: InsceneError) -> None:
    """What and where on the first line; why and the next step below."""
    head = f"{error.where}: {error.what}" if error.where else error.what
    say(f"error: {head}")
    for line in (error.why, error.next_step):
        if line:
            say(f"  {line}")


def print_plans(plans: Sequence[Plan], as_json: bool, missing: Lacking | None = None) -> None:
    """What would be done; as JSON one object, or a list where there are several runs. With
    ``missing`` also which weights they lack: the recipe's hash is then not known yet."""
    lacks = missing is not None and bool(missing.weights)
    if as_json:
        facts = [_plan_facts(plan, missing) for plan in plans]
        print_json(facts[0] if len(facts) == 1 else facts)
        return
    for plan in plans:
        recipe = plan.built.recipe
        inputs, shards = _count(plan.inputs, "input"), _count(len(plan.shards), "shard")
        print(f"{recipe.name}: {inputs} in {shards} → {plan.out}")
        print(f"steps: {' → '.join(name for name, _ in plan.built.steps)}")
        if plan.built.closing:
            print(f"then, over all rows: {' → '.join(name for name, _ in plan.built.closing)}")
        if not lacks:
            print(f"recipe hash: {plan.built.hash[:16]}")
    if missing is not None:
        from inscene.cli.missing_weights import print_missing

        print_missing(missing.weights)
        if lacks:
            print(f"  {missing.in_words}")
            print(f"  Or, for a dataset without: {' '.join(missing.ways)}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _plan_facts(plan: Plan, missing: Lacking | None) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if missing is not None:
        facts["missing_weights"] = list(missing.names)
        facts["download_bytes"] = missing.download_bytes
        facts["without_weights"] = list(missing.ways)
    return facts | {
        "out": plan.out,
        "recipe": plan.built.recipe.name,
        "recipe_hash": None if facts.get("missing_weights") else plan.built.hash,
        "makes": plan.built.recipe.makes,
        "steps": [name for name, _ in plan.built.steps],
        "closing": [name for name, _ in plan.built.closing],
        "inputs": plan.inputs,
        "shards": len(plan.shards),
    }


def print_summary(summary: Summary, as_json: bool) -> None:
    if as_json:
        print_json(asdict(summary))
        return
    lost = sum(summary.dropped.values()), sum(summary.errors.values())
    rows = f" ({summary.rows} rows)" if summary.rows != summary.kept else ""
    print(
        f"{summary.out}: {summary.inputs} inputs = {summary.kept} kept{rows} + "
        f"{lost[0]} dropped + {lost[1]} errors"
    )
    for title, reasons in (("dropped", summary.dropped), ("error", summary.errors)):
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
            print(f"  {count:>6}  {title}: {reason}")
