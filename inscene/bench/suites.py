"""``benchmarks/*.yaml``: what is measured on what, and which table of the paper it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from inscene.bench.fadex_study.settings import Study
from inscene.bench.views import ViewName
from inscene.errors import RecipeError, UsageError
from inscene.quality.registry import find_metric
from inscene.shipped import shipped_folder, shipped_names
from inscene.suggest import did_you_mean


class SuiteData(BaseModel):
    """Where the pairs are, and what they are known to be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str | None = None
    """As the command that makes it names it; ``--dataset`` names another."""
    hub: str | None = None
    """``org/name`` of a dataset on the Hugging Face Hub."""
    split: str | None = None
    images: int | None = None
    identities: int | None = None
    make: str = ""
    """How to make it, in a line."""


class Suite(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    kind: Literal["restoration", "fadex_similarity"] = "restoration"
    """``restoration`` scores what methods make of pairs; ``fadex_similarity`` compares the codes
    that a checkpoint's FaDeX gives to clean images under fixed degradations."""
    answers: str
    """Table or figure of the paper."""
    dataset: SuiteData
    view: ViewName = "scene"
    reference: bool = True
    """False where there are no clean images: photographs that are degraded themselves."""
    metrics: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    """That the paper's table has; run where ``--method`` names none."""
    study: Study | None = None
    """Of the kind ``fadex_similarity``: how it is done."""
    notes: str = ""

    @model_validator(mode="after")
    def _of_one_kind(self) -> Suite:
        given = self.model_fields_set
        if self.kind == "restoration":
            foreign = given & {"study"}
            if "metrics" not in given:
                raise ValueError("metrics: name those that are computed")
        else:
            foreign = given & {"view", "reference", "metrics", "methods"}
        if foreign:
            raise ValueError(f"{min(foreign)}: suites of the kind {self.kind} have no such thing")
        return self

    @field_validator("metrics")
    @classmethod
    def _known(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        for key in keys:
            find_metric(key)
        return keys

    def place(self) -> str:
        """Folder or URL of its pairs. Raises :class:`UsageError` where there is none here."""
        if self.dataset.folder is not None and Path(self.dataset.folder).exists():
            return self.dataset.folder
        where = self.dataset.folder or (
            f"{self.dataset.hub} on the Hub" if self.dataset.hub else ""
        )
        raise UsageError(
            f"the pairs of the suite {self.name!r} are not here",
            where=where or None,
            next_step=f"{self.dataset.make} Or name them: --dataset PAIRS.".strip(),
        )


@dataclass(frozen=True)
class Deviation:
    """How a dataset differs from what a suite is known to have: its numbers are not the suite's."""

    what: str
    expected: int
    found: int

    def __str__(self) -> str:
        return f"{self.found:,} {self.what}, not {self.expected:,}"


def deviations(suite: Suite, ids: list[str]) -> list[Deviation]:
    """``ids`` are the samples' own, without versions."""
    images = len(set(ids))
    if suite.dataset.images is None or images == suite.dataset.images:
        return []
    return [Deviation("images", suite.dataset.images, images)]


def load_suite(name: str) -> Suite:
    """A shipped suite by name, or a file. Raises :class:`UsageError` for an unknown name,
    :class:`RecipeError` for a file that is none."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        known = suite_names()
        if name not in known:
            raise UsageError(f"no suite {name!r}", next_step=did_you_mean(name, known))
        path = shipped_folder("benchmarks") / f"{name}.yaml"
    try:
        data: Any = yaml.safe_load(path.read_text("utf-8"))
        return Suite.model_validate({"name": path.stem, **data})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise RecipeError("cannot be read as a suite", where=str(path), why=f"{error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        what = first["msg"].removeprefix("Value error, ")
        if first["loc"]:  # else it speaks of several keys, and names them
            what = f"{'.'.join(map(str, first['loc']))}: {what}"
        raise RecipeError(what, where=str(path)) from error


def suite_names() -> list[str]:
    return shipped_names("benchmarks")
