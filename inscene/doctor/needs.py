"""Whether each command can run on this machine, and what it would need."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from inscene.doctor.machine import Machine, version_of
from inscene.errors import RecipeError
from inscene.shipped import shipped_folder
from inscene.weights.manifest import Manifest, Weight
from inscene.weights.survey import survey


class State(enum.StrEnum):
    READY = "ready"
    LESS = "does less"
    """It runs, without something that would let it do more."""
    CANNOT = "cannot"


class Command(BaseModel):
    """What ``manifests/commands.yaml`` says of one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    requires: dict[str, list[str]] = {}
    optional: dict[str, list[str]] = {}
    vram_gb: float | None = None
    about_vram_gb: float | None = None
    without_weights: str = ""
    by_hand: dict[str, str] = {}
    """Packages that no extra can bring -> the command that installs them."""


@dataclass(frozen=True)
class Verdict:
    command: str
    state: State
    lacks: tuple[str, ...] = ()
    """In words, the gravest first."""
    missing_packages: tuple[str, ...] = ()
    missing_weights: tuple[str, ...] = ()
    download_bytes: int = 0
    vram_gb: float | None = None
    """Needed, or wanted where a CPU is slow."""
    licences: tuple[str, ...] = ()
    """Of the weights that are missing, in words: what fetching them accepts."""
    next_steps: tuple[str, ...] = field(default=())


def load_commands() -> list[Command]:
    path = shipped_folder("manifests") / "commands.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        return [Command(name=name, **(facts or {})) for name, facts in data.items()]
    except (ValidationError, TypeError) as error:
        raise RecipeError(f"{error}", where=str(path)) from error


def judge(commands: Iterable[Command], machine: Machine, manifest: Manifest) -> list[Verdict]:
    """One verdict a command, in their order."""
    return [_judge(command, machine, manifest) for command in commands]


def _judge(command: Command, machine: Machine, manifest: Manifest) -> Verdict:
    lacks: list[str] = []
    steps: list[str] = []
    stops = False
    required = _missing(command.requires, steps)
    optional = _missing(command.optional, steps)
    for package, install in command.by_hand.items():
        if version_of(package) is None:
            optional.append(package)
            steps.append(install)
    if required:
        lacks.append(f"packages: {', '.join(required)}")
        stops = True
    weights = _missing_weights(command.name, manifest)
    size_bytes = sum(weight.download_bytes for weight in weights)
    stops = stops or bool(weights and not command.without_weights)
    vram_gb = command.vram_gb or command.about_vram_gb
    largest_gb = max(((gpu.memory_bytes or 0) / 1e9 for gpu in machine.gpus), default=0.0)
    if vram_gb and largest_gb < vram_gb:
        if command.vram_gb:
            lacks.append(f"a GPU with {vram_gb:.0f} GB")
            stops = True
        else:
            lacks.append(f"a GPU with about {vram_gb:.0f} GB; a CPU is slow")
    if weights:
        lacks.append(_weights_in_words(weights, command.without_weights))
        steps.append(f'inscene weights pull --for "{command.name}"')
        steps += [
            f"accept the licence at https://huggingface.co/{weight.repo}, then: hf auth login"
            for weight in weights
            if weight.gated
        ]
        if size_bytes > machine.disk_free_bytes:
            lacks.append(f"{(size_bytes - machine.disk_free_bytes) / 1e9:.0f} GB of disk")
    if optional:
        lacks.append(f"optional packages: {', '.join(optional)}")
    return Verdict(
        command.name,
        State.CANNOT if stops else State.LESS if lacks else State.READY,
        tuple(lacks),
        tuple(required + optional),
        tuple(weight.name for weight in weights),
        size_bytes,
        vram_gb,
        tuple(sorted({f"{w.licence.name}: {w.licence.allows}" for w in weights})),
        tuple(steps),
    )


def _missing(extras: dict[str, list[str]], steps: list[str]) -> list[str]:
    missing = []
    for extra, packages in extras.items():
        lacking = [package for package in packages if version_of(package) is None]
        if lacking:
            steps.append(f"pip install 'inscene[{extra}]'")
        missing += lacking
    return missing


def _missing_weights(command: str, manifest: Manifest) -> list[Weight]:
    if command not in manifest.uses:
        return []
    weights = manifest.with_needs(weight.name for weight in manifest.for_use(command))
    return [standing.weight for standing in survey(weights) if not standing.is_here]


def _weights_in_words(weights: list[Weight], without: str) -> str:
    from inscene.weights.sizes import in_words

    size = in_words(sum(weight.download_bytes for weight in weights) or None)
    count = f"{len(weights)} weights" if len(weights) > 1 else "1 weight"
    closed = sum(weight.licence.commercial == "no" for weight in weights)
    no_business = f", {closed} non-commercial" if closed else ""
    gated = ", gated" if any(weight.gated for weight in weights) else ""
    rest = f" (without: {without})" if without else ""
    return f"{count}, {size}{no_business}{gated}{rest}"
