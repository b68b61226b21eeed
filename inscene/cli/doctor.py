"""``inscene doctor``"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from inscene.cli import options as opt
from inscene.cli.console import print_json

if TYPE_CHECKING:
    from inscene.doctor.machine import Machine
    from inscene.doctor.needs import Verdict

PACKAGES = (
    "torch", "torchvision", "diffusers", "transformers", "peft", "ray", "onnxruntime",
    "insightface", "ultralytics", "facenet-pytorch", "pyiqa", "rawpy", "datasets",
    "huggingface-hub",
)  # fmt: skip


def doctor(json: opt.Json = False) -> None:
    """Say what this machine has and lacks, and what each command would need."""
    from inscene import __version__
    from inscene.doctor.machine import look, version_of
    from inscene.doctor.needs import judge, load_commands
    from inscene.weights.folder import weights_folder
    from inscene.weights.manifest import load_manifest
    from inscene.weights.survey import survey

    folder = weights_folder()
    machine = look(folder)
    manifest = load_manifest()
    standings = survey(list(manifest.values()))
    here = [standing.weight.name for standing in standings if standing.is_here]
    verdicts = judge(load_commands(), machine, manifest)
    if json:
        print_json(
            {
                "inscene": __version__,
                "machine": asdict(machine),
                "packages": {package: version_of(package) for package in PACKAGES},
                "weights": {"folder": str(folder), "here": here, "known": len(manifest)},
                "commands": [asdict(verdict) for verdict in verdicts],
            }
        )
        return
    _print_machine(machine, f"{len(here)} of {len(manifest)} here, in {folder}")
    _print_verdicts(verdicts)


def _print_machine(machine: Machine, weights: str) -> None:
    from inscene import __version__
    from inscene.doctor.machine import version_of
    from inscene.weights.sizes import in_words

    gpus = [
        f"{gpu.name}, {in_words(gpu.memory_bytes)}, driver {gpu.driver}" for gpu in machine.gpus
    ]
    found = [f"{package} {version}" for package in PACKAGES if (version := version_of(package))]
    missing = [package for package in PACKAGES if version_of(package) is None]
    rows = (
        ("inscene", f"{__version__} on Python {machine.python}, {machine.system}"),
        ("CPU", f"{machine.cpus} to use"),
        ("RAM", f"{in_words(machine.ram_bytes)}, {in_words(machine.ram_free_bytes)} free"),
        ("disk", f"{in_words(machine.disk_free_bytes)} free where weights are kept"),
        ("GPU", "; ".join(gpus) or "none that nvidia-smi sees"),
        ("weights", weights),
        ("packages", ", ".join(found)),
        ("not here", ", ".join(missing)),
    )
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for title, text in rows:
        if text:
            table.add_row(title, text)
    Console().print(table, markup=False)


def _print_verdicts(verdicts: list[Verdict]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("command", "here", "lacks", box=None, header_style="bold", pad_edge=False)
    for verdict in verdicts:
        table.add_row(verdict.command, verdict.state.value, "; ".join(verdict.lacks))
    console = Console()
    console.print()
    console.print(table, markup=False)
    steps = dict.fromkeys(step for verdict in verdicts for step in verdict.next_steps)
    if steps:
        console.print()
        console.print("To get what is lacking:", style="bold")
        for step in steps:
            console.print(f"  {step}", markup=False, soft_wrap=True)
