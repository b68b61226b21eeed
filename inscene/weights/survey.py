"""Which weights are here: at a glance, or hash by hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inscene.errors import VerificationError
from inscene.weights.folder import path_of
from inscene.weights.manifest import Weight
from inscene.weights.pins import read_pins
from inscene.weights.pull import Started
from inscene.weights.verify import State, check, key_of, pin, pin_as_changed, state_of


@dataclass(frozen=True)
class Standing:
    """A weight and the state of each of its files."""

    weight: Weight
    states: tuple[State, ...]

    @property
    def is_here(self) -> bool:
        """Nothing of it is missing or changed."""
        return all(state in (State.HERE, State.UNVERIFIED) for state in self.states)

    @property
    def in_words(self) -> str:
        """``yes``, ``no``, ``3 of 7``, ``changed``, or ``unverified``: nobody has hashed it yet."""
        if State.CHANGED in self.states:
            return "changed"
        if State.UNVERIFIED in self.states:
            return "unverified"
        missing = self.states.count(State.MISSING)
        if not missing:
            return "yes"
        there = len(self.states) - missing
        return f"{there} of {len(self.states)}" if there else "no"


def survey(weights: Sequence[Weight]) -> list[Standing]:
    """At a glance: sizes and times, no hashes."""
    pins = read_pins()
    return [
        Standing(weight, tuple(state_of(weight, file, pins) for file in weight.files))
        for weight in weights
    ]


def facts(standing: Standing) -> dict[str, Any]:
    """As JSON values: what ``inscene weights list --json`` gives."""
    weight = standing.weight
    pins = read_pins()
    files = []
    for file, state in zip(weight.files, standing.states, strict=True):
        pinned = pins.get(key_of(weight, file))
        files.append(
            {
                "path": file.path,
                "url": file.url,
                "bytes": file.bytes,
                "sha256": file.sha256 or (pinned.sha256 if pinned else None),
                "state": state.value,
            }
        )
    return {
        "name": weight.name,
        "about": weight.about,
        "for": weight.uses,
        "needs": weight.needs,
        "licence": weight.licence.model_dump(),
        "gated": weight.gated,
        "source": weight.source,
        "repo": weight.repo,
        "revision": weight.revision if weight.repo else None,
        "subfolder": weight.subfolder or None,
        "archive": weight.archive.url if weight.archive else None,
        "download_bytes": weight.download_bytes or None,
        "here": standing.is_here,
        "folder": str(path_of(weight, weight.files[0]).parents[weight.files[0].path.count("/")]),
        "files": files,
    }


@dataclass(frozen=True)
class Verdict:
    """What hashing one file found."""

    weight: str
    path: str
    sha256: str | None
    verified_by: str | None
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def verify_all(weights: Sequence[Weight], started: Started) -> list[Verdict]:
    """Hash every file of these that is here."""
    verdicts = []
    for weight in weights:
        for file in weight.files:
            path = path_of(weight, file)
            if not path.is_file():
                continue
            advance = started(f"{weight.name}/{file.path}", path.stat().st_size, 0)
            try:
                checked = check(weight, file, path, taken=True, advance=advance)
                pin(weight, file, checked, "put there by hand")
            except VerificationError as error:
                pin_as_changed(weight, file)
                verdicts.append(Verdict(weight.name, file.path, None, None, str(error)))
                continue
            verdicts.append(Verdict(weight.name, file.path, checked.sha256, checked.verified_by))
    return verdicts
