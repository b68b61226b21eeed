"""``inscene bench``"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inscene.cli import method_options as of_method
from inscene.cli import options as opt
from inscene.cli.console import print_json, say
from inscene.cli.execute import run_shown
from inscene.cli.fadex_similarity import bench_fadex_similarity
from inscene.errors import ExitCode, InsceneError, UsageError

if TYPE_CHECKING:
    from inscene.bench.run import Bench
    from inscene.engine.run import Plan, Summary


def bench(
    out: opt.Out,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Name, folder:DIR with outputs, or a manifest's path; repeatable. "
            "Default: the suite's."
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Pairs to measure on; path or URL.")] = None,
    suite: Annotated[
        str | None, typer.Option(help="Named benchmark, or its file: data, metrics and protocol.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated keys, or ten. Default: the suite's; else those without weights."
        ),
    ] = None,
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Exit with 4 where a metric cannot be had.")
    ] = False,
    references: of_method.References = None,
    checkpoint: of_method.Checkpoint = None,
    option: of_method.OfMethod = None,
    limit: opt.Limit = None,
    executor: opt.ExecutorOption = opt.Executor.auto,
    workers: opt.WorkerCount = None,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:  # fmt: skip
    """Restore the LQ images of a dataset with each method, and score the results.

    What is done is not done again: a further method or metric costs that one only.
    """
    from inscene.bench import run as bench_run
    from inscene.bench.methods import find_method
    from inscene.bench.suites import load_suite
    from inscene.cli.remarks import print_restored
    from inscene.engine import run as engine
    from inscene.quality.registry import TEN, WITHOUT_WEIGHTS

    keys = [key.strip() for key in (metrics or "").split(",") if key.strip()]
    keys = list(TEN) if keys == ["ten"] else keys
    methods = method or []
    if suite is not None:
        named = load_suite(suite)
        if named.kind == "fadex_similarity":
            bench_fadex_similarity(
                named, out, checkpoint,
                dataset=dataset, limit=limit, plan_only=plan, as_json=json,
                foreign={
                    "--method": method, "--metrics": metrics, "--require-all": require_all,
                    "--references": references, "--option": option, "--workers": workers,
                    "--executor": executor is not opt.Executor.auto, "--ray-address": ray_address,
                },
            )  # fmt: skip
            return
        wanted = bench_run.bench_of_suite(
            named, out, dataset=dataset, methods=methods, metrics=keys, limit=limit
        )
    elif dataset is not None:
        named = None
        wanted = bench_run.bench_of_dataset(dataset, methods, keys or WITHOUT_WEIGHTS, out, limit)
    else:
        raise UsageError("nothing to measure on", next_step="Give --dataset PAIRS or --suite NAME.")
    options = of_method.method_options(option, checkpoint, references)
    of_method.check_known(options, [find_method(name) for name in wanted.methods])
    wanted = replace(wanted, references=references, options=options)
    unavailable = wanted.unavailable
    plans = [bench_run.plan_restore(wanted, one) for one in wanted.methods]
    if named is not None:
        for deviation in bench_run.deviations_of(named, plans[0]):
            say(f"note: {deviation}: these are not the numbers of the suite {named.name!r}")
    if plan:
        _print_plan(wanted, plans, unavailable, json)
        return
    for key, error in unavailable.items():
        say(f"n/a: {key}: {error.what}. {error.next_step}")
    if require_all and unavailable:
        raise next(iter(unavailable.values()))
    who = engine.Workers(executor.value, workers, ray_address)

    def execute(one: Plan, title: str) -> Summary:
        return run_shown(one, who, title)

    stuck = bench_run.stuck_methods(wanted)
    if len(stuck) == len(wanted.methods) == 1:
        raise stuck[wanted.methods[0]]
    for name, stop in stuck.items():
        say(f"cannot run: {name}: {stop.why} See --plan.")
    if len(stuck) == len(wanted.methods):
        raise next(iter(stuck.values()))
    able = [find_method(name, options) for name in wanted.methods if name not in stuck]
    for remark in dict.fromkeys(one.remark() for one in able):
        if remark:
            say(remark)
    summaries = bench_run.run_bench(wanted, execute, set(stuck))
    print_restored(summaries, json, as_list=True)
    if stuck or any(summary.errors for summary in summaries):
        raise typer.Exit(ExitCode.PARTIAL)


def _print_plan(
    wanted: Bench, plans: list[Plan], unavailable: dict[str, InsceneError], as_json: bool
) -> None:
    from inscene.bench.methods import find_method
    from inscene.bench.methods.needs import describe, what_is_missing

    facts: list[dict[str, Any]] = []
    for name, plan in zip(wanted.methods, plans, strict=True):
        one = find_method(name, wanted.options)
        facts.append(
            {
                "method": one.name,
                "inputs": plan.inputs,
                "out": plan.out,
                "what": describe(one),
                "missing": what_is_missing(one),
            }
        )
    metrics = {key: str(unavailable[key]) if key in unavailable else "ok" for key in wanted.metrics}
    if as_json:
        print_json({"suite": wanted.name, "methods": facts, "metrics": metrics})
        return
    for fact in facts:
        print(f"{fact['method']}: {fact['inputs']} inputs → {fact['out']}")
        for line in fact["what"]:
            print(f"  {line}")
        for line in fact["missing"]:
            print(f"  missing: {line}")
    print(f"metrics: {', '.join(key for key, why in metrics.items() if why == 'ok')}")
    for key, why in metrics.items():
        if why != "ok":
            print(f"  n/a: {key}: {why}")
