"""Restoration methods by name: those of ``manifests/methods``, and ``folder:DIR``.

A method turns one LQ image into one at the clean image's size.
"""

from __future__ import annotations

import abc
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from inscene import images
from inscene.errors import SampleError, UsageError
from inscene.recipe import content_hash
from inscene.shipped import shipped_folder, shipped_names
from inscene.suggest import did_you_mean

Image = NDArray[np.uint8]
FOLDER = "folder:"


@dataclass(frozen=True)
class Sample:
    """What a method may look at: the LQ image and which sample it is; never the clean image."""

    id: str
    version: int
    lq: Image
    size: tuple[int, int]
    """Width and height of the wanted output, px."""


class Method(abc.ABC):
    """A restoration method that is ready to run."""

    name: str

    @abc.abstractmethod
    def restore(self, sample: Sample) -> Image:
        """(height, width, 3) 8-bit sRGB. Raises :class:`SampleError` where it has no output."""

    @abc.abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """All that decides the output, as JSON values."""


class Manifest(BaseModel):
    """``manifests/methods/NAME.yaml`` of a method that is a Python function."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["builtin"]
    title: str
    entry: str
    """``module:function``; called with the LQ image and the wanted (width, height)."""
    params: dict[str, Any] = {}
    licence: str
    source: str


class Builtin(Method):
    def __init__(self, name: str, manifest: Manifest) -> None:
        self.name, self._manifest = name, manifest
        module, _, function = manifest.entry.partition(":")
        self._function: Callable[..., Image] = getattr(importlib.import_module(module), function)

    def restore(self, sample: Sample) -> Image:
        return self._function(sample.lq, sample.size, **self._manifest.params)

    def fingerprint(self) -> dict[str, Any]:
        return {"method": self.name, **self._manifest.model_dump()}


class Folder(Method):
    """Outputs that another program wrote, found by the sample's name without its ending.

    Version v of a sample is ``NAME@v``; plain ``NAME`` serves version 0.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UsageError("there is no such folder", where=f"{FOLDER}{folder}")
        # By its own name only: results are shared, and a whole path says things about a machine.
        self.name = f"{FOLDER}{folder.resolve().name}"
        self._files: dict[str, Path] = {}
        for path in images.iter_image_files(folder):
            stem = path.relative_to(folder).with_suffix("").as_posix()
            if stem in self._files:
                raise UsageError(
                    f"two outputs for {stem!r}: {self._files[stem].name} and {path.name}",
                    where=str(folder),
                    next_step="Leave one of them.",
                )
            self._files[stem] = path

    def restore(self, sample: Sample) -> Image:
        stem = str(Path(sample.id).with_suffix(""))
        path = self._files.get(f"{stem}@{sample.version}")
        if path is None and sample.version == 0:
            path = self._files.get(stem)
        if path is None:
            raise SampleError("output_missing", f"no image named {stem}@{sample.version}")
        return images.decode(images.read_bytes(path)).pixels

    def fingerprint(self) -> dict[str, Any]:
        """Names, sizes and times: outputs that were written anew are another method."""
        facts = [
            (stem, path.stat().st_size, path.stat().st_mtime_ns)
            for stem, path in sorted(self._files.items())
            if path.is_file()
        ]
        return {"method": self.name, "outputs": content_hash(facts)}


def find_method(name: str) -> Method:
    """The method of that name. Raises :class:`UsageError` with the nearest known one."""
    if name == FOLDER:
        raise UsageError(f"{FOLDER} names no folder", next_step=f"Give {FOLDER}DIR.")
    if name.startswith(FOLDER):
        return Folder(Path(name.removeprefix(FOLDER)))
    known = shipped_names("manifests", "methods")
    if name not in known:
        raise UsageError(
            f"no method {name!r}", next_step=f"{did_you_mean(name, known)} Or {FOLDER}DIR."
        )
    path = shipped_folder("manifests") / "methods" / f"{name}.yaml"
    return Builtin(name, Manifest.model_validate(yaml.safe_load(path.read_text("utf-8"))))
