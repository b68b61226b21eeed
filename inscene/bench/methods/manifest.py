"""``manifests/methods/NAME.yaml``: what a method is, where it comes from and what it needs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from inscene.bench.methods import template
from inscene.errors import RecipeError
from inscene.recipe import RecipeSource
from inscene.suggest import did_you_mean

Resize = Literal["lanczos", "none"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Head(_Model):
    """What every kind says about itself."""

    title: str
    source: str
    """Where the code comes from: the address of its repository where it has one."""
    licence: str
    """Who may use it for what, in plain words."""
    paper: str | None = None
    """As it is cited."""


class BuiltinManifest(_Head):
    """A function or class that is called in this process."""

    kind: Literal["builtin"]
    entry: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
    """``module:name``. A function is called with the LQ image and the wanted (width, height); a
    class is constructed once a worker, and the object called so."""
    takes: Literal["image", "sample"] = "image"
    """``sample``: the entry is a :class:`inscene.bench.methods.Method` of its own, constructed with
    its name, this manifest and ``params``; its module must import without what it runs with."""
    params: dict[str, Any] = {}
    """Further arguments, by keyword: of the function, or of the class's constructor."""
    packages: list[str] = []
    """Distributions that it needs beside this project's own."""
    extra: str | None = None
    """The extra of this project that installs them."""


class FolderManifest(_Head):
    """Outputs that exist already."""

    kind: Literal["folder"]
    folder: Path
    """Relative to the manifest."""
    resize_to_gt: Resize = "none"


class Weight(_Model):
    """A file or folder that the command needs and this project does not fetch."""

    path: str | None
    """Below the checkout; None where the command fetches it itself to a place of its own."""
    source: str = Field(alias="from")


class CommandManifest(_Head):
    """Another repository, run in an environment of its own. ``source`` is its address."""

    kind: Literal["command"]
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None
    """None where nobody has established which one the command below fits."""
    checkout: Path | None = None
    """Relative to the manifest. Else the folder of the method's name below
    :func:`inscene.bench.methods.places.methods_root`."""
    python: str = "{checkout}/.venv/bin/python"
    command: Annotated[list[str], Field(min_length=1)]
    """A list, never a line for a shell. Placeholders: :data:`template.PLACEHOLDERS`."""
    files: dict[str, str] = {}
    """Written into ``{work}`` before each run: name -> text, with the same placeholders."""
    cwd: str = "."
    """Below the checkout."""
    output: str = "out/{stem}.png"
    """Where a sample's output lies below ``{work}``; ``*`` may stand in it."""
    scope: Literal["folder", "image"]
    """Whether one run takes many images or one."""
    timeout_s: Annotated[float, Field(gt=0)]
    """For each image of a run, loading included."""
    seed: int = 0
    upscale: Annotated[int, Field(ge=1)] | None
    """Output side / input side; None where it varies."""
    faces: Literal["aligned512"] | None = None
    """It takes nothing but faces that are aligned in 512 x 512 px."""
    resize_to_gt: Resize = "none"
    weights: list[Weight] = []
    vram_gb: float | None = None
    """Measured or stated by its authors."""

    @field_validator("source")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if "://" not in value and not value.startswith("git@") and not Path(value).is_absolute():
            raise ValueError("the address of a repository is needed")
        return value

    @field_validator("files")
    @classmethod
    def _plain_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if PurePosixPath(name).name != name or name in ("in", "out", "references", ".", ".."):
                raise ValueError(f"{name!r} is not a plain file name")
        return value

    @model_validator(mode="after")
    def _known_placeholders(self) -> CommandManifest:
        for text in (*self.command, *self.files.values()):
            template.check(text, template.PLACEHOLDERS)
        template.check(self.python, ("checkout",))
        template.check(self.output, ("stem",))
        if self.uses("references") and self.scope == "folder":
            raise ValueError("{references} are one person's: scope must be image")
        return self

    def uses(self, placeholder: str) -> bool:
        texts = (*self.command, *self.files.values())
        return any(placeholder in template.names(text) for text in texts)


Manifest = BuiltinManifest | FolderManifest | CommandManifest
_KINDS: dict[str, type[Manifest]] = {
    "builtin": BuiltinManifest,
    "folder": FolderManifest,
    "command": CommandManifest,
}


def load_manifest(path: Path) -> Manifest:
    """Raises :class:`RecipeError` with file and line where the file is not a manifest."""
    source = RecipeSource(path)
    kind = source.data.get("kind")
    if kind not in _KINDS:
        what = "the key 'kind' is missing" if kind is None else f"no kind {kind!r}"
        raise RecipeError(what, where=source.where("kind"), next_step=_near(kind, _KINDS))
    model = _KINDS[kind]
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        raise _as_recipe_error(error, source, model) from error


def _as_recipe_error(
    error: ValidationError, source: RecipeSource, model: type[Manifest]
) -> RecipeError:
    found = error.errors()
    # A misspelt key is also a missing one: its spelling is what to mend.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    keys = first["loc"]
    next_step = ""
    if first["type"] == "extra_forbidden":
        what = f"unknown key {keys[-1]!r}"
        known = model.model_fields if len(keys) == 1 else ("path", "from")
        next_step = _near(keys[-1], known)
    elif first["type"] == "missing":
        what = f"the key {'.'.join(map(str, keys))!r} is missing"
    else:
        problem = first["msg"].removeprefix("Value error, ")
        what = f"{'.'.join(map(str, keys))}: {problem}" if keys else problem
    return RecipeError(what, where=source.where(*keys), next_step=next_step)


def _near(word: object, known: Iterable[str]) -> str:
    return did_you_mean(str(word), known)
