"""``manifests/weights.yaml``: every model that a command can need, and what its user accepts."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from inscene.errors import RecipeError, UsageError
from inscene.shipped import shipped_folder
from inscene.suggest import did_you_mean

MANIFEST_VARIABLE = "INSCENE_WEIGHTS_MANIFEST"
"""Environment variable: a manifest that takes the place of the shipped one (a mirror, say)."""

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]+$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _below(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value or not path.parts:
        raise ValueError("a path below the weight's folder is needed")
    return value


class Licence(_Model):
    name: str
    allows: str
    """Who may use it for what, in plain words."""
    commercial: Literal["yes", "no", "unclear"]


class File(_Model):
    """One file, as the model's loader wants it."""

    path: str
    """Below the weight's own folder; below the repository's root, where there is one."""
    bytes: int | None = None
    about_mb: float | None = None
    """Where the exact size is not known: for people, in 10⁶ bytes."""
    sha256: Annotated[Hex, Field(min_length=64, max_length=64)] | None = None
    sha256_prefix: Annotated[Hex, Field(min_length=8)] | None = None
    """Where only the first digits are known: torch.hub puts them into file names."""
    url: str | None = None
    """Where it is a release of its own."""

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        return _below(value)

    @property
    def about_bytes(self) -> int | None:
        """Exact where that is known; None where nothing is."""
        if self.bytes is not None:
            return self.bytes
        return None if self.about_mb is None else round(self.about_mb * 1e6)

    def may_have(self, size_bytes: int) -> bool:
        """Whether a file of this size may be this one: an error page is none of 50 MB."""
        if self.bytes is not None:
            return size_bytes == self.bytes
        about = self.about_bytes
        return about is None or about / 2 <= size_bytes <= about * 2

    def fits(self, sha256: str) -> bool:
        """Whether a file with this hash may be this one, as far as the manifest knows."""
        if self.sha256 is not None:
            return sha256 == self.sha256
        return self.sha256_prefix is None or sha256.startswith(self.sha256_prefix)

    @property
    def hash_is_known(self) -> bool:
        return self.sha256 is not None


class Weight(_Model):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    """Also of its folder."""
    about: str
    uses: list[str] = Field(alias="for")
    """Commands that need it."""
    licence: Licence
    needs: list[str] = []
    """Other weights that are of no use without."""
    repo: str | None = None
    """On the Hugging Face Hub."""
    revision: str = "main"
    gated: bool = False
    """True where an account must have accepted the licence on the repository's page."""
    subfolder: str = ""
    """Of the repository: left out of the files' paths."""
    archive: File | None = None
    """A ZIP that has all the files, wherever in it they lie."""
    files: Annotated[list[File], Field(min_length=1)]

    @field_validator("subfolder")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        return _below(value) if value else value

    @model_validator(mode="after")
    def _one_source(self) -> Weight:
        own = [file.url is not None for file in self.files]
        if self.archive is not None and self.archive.url is None:
            raise ValueError("an archive needs a url")
        if sum((self.repo is not None, self.archive is not None, any(own))) != 1 or (
            any(own) and not all(own)
        ):
            raise ValueError("one source is needed: repo, archive, or a url for each file")
        return self

    @property
    def download_bytes(self) -> int:
        """About, as far as it is known; without what it needs."""
        files = self.files if self.archive is None else [self.archive]
        return sum(file.about_bytes or 0 for file in files)

    @property
    def source(self) -> str:
        """Where it comes from, for people."""
        if self.repo is not None:
            return f"{self.repo} on the Hugging Face Hub"
        return str(self.archive.url if self.archive else self.files[0].url)

    def file(self, path: str) -> File:
        for file in self.files:
            if file.path == path:
                return file
        known = [file.path for file in self.files]
        raise UsageError(f"{self.name} has no file {path!r}", next_step=did_you_mean(path, known))


class Manifest(Mapping[str, Weight]):
    """The weights by name, in the order of the file."""

    def __init__(self, weights: Iterable[Weight]) -> None:
        self._weights = {weight.name: weight for weight in weights}

    def __getitem__(self, name: str) -> Weight:
        if name not in self._weights:
            raise UsageError(f"no weight {name!r}", next_step=did_you_mean(name, self._weights))
        return self._weights[name]

    def __contains__(self, name: object) -> bool:
        return name in self._weights

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    @property
    def uses(self) -> list[str]:
        """All commands that need weights, sorted."""
        return sorted({use for weight in self.values() for use in weight.uses})

    def for_use(self, use: str) -> list[Weight]:
        """What a command needs; its last word is enough where that is clear."""
        matching = [one for one in self.uses if use in (one, one.rpartition(" ")[2])]
        if len(matching) != 1:
            raise UsageError(
                f"no command {use!r} needs weights", next_step=did_you_mean(use, self.uses)
            )
        return [weight for weight in self.values() if matching[0] in weight.uses]

    def with_needs(self, names: Iterable[str]) -> list[Weight]:
        """These weights and what they need, each once, the needed ones first."""
        found: dict[str, Weight] = {}

        def add(name: str) -> None:
            weight = self[name]
            for needed in weight.needs:
                if needed not in found:
                    add(needed)
            found.setdefault(name, weight)

        for name in names:
            add(name)
        return list(found.values())


def manifest_path() -> Path:
    given = os.environ.get(MANIFEST_VARIABLE)
    return Path(given).expanduser() if given else shipped_folder("manifests") / "weights.yaml"


def load_manifest() -> Manifest:
    """Raises ``RecipeError`` where the file is not a manifest."""
    return _load(manifest_path())


@functools.cache
def _load(path: Path) -> Manifest:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError("cannot be read", where=str(path), why=f"{error}.") from error
    if not isinstance(data, dict):
        raise RecipeError("is not a mapping of weights", where=str(path))
    weights = []
    for name, facts in data.items():
        try:
            weights.append(Weight.model_validate({"name": name, **(facts or {})}))
        except (ValidationError, TypeError) as error:
            problem = error.errors()[0] if isinstance(error, ValidationError) else None
            why = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" if problem else ""
            raise RecipeError(f"{name}: {why or error}", where=str(path)) from error
    manifest = Manifest(weights)
    for weight in weights:
        for needed in weight.needs:
            if needed not in manifest:
                raise RecipeError(f"{weight.name} needs {needed!r}: unknown", where=str(path))
    return manifest
