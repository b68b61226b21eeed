"""Methods that are Python functions or classes, called in the worker itself."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from inscene.bench.methods.base import Image, Method, Sample
from inscene.bench.methods.manifest import BuiltinManifest
from inscene.errors import InsceneError, MachineError, NotBuiltYetError, RecipeError, SampleError

_OURS = "inscene."


class Builtin(Method):
    manifest: BuiltinManifest

    def __init__(self, name: str, manifest: BuiltinManifest) -> None:
        self.name, self.manifest = name, manifest

    @functools.cached_property
    def _call(self) -> Callable[[Image, tuple[int, int]], Image]:
        """Imported at the first sample: a plan must not need what a run needs."""
        if missing := self.missing():
            kind = NotBuiltYetError if "not built yet" in missing[0] else MachineError
            raise kind(f"method {self.name!r} cannot run here", why=" ".join(missing))
        entry = _imported(self.name, self.manifest)
        if isinstance(entry, type):
            return cast("Callable[..., Image]", entry(**self.manifest.params))
        return functools.partial(entry, **self.manifest.params)

    def restore(self, sample: Sample) -> Image:
        call = self._call
        try:
            image = call(sample.lq, sample.size)
        except (SampleError, InsceneError):
            raise
        except Exception as error:  # whatever a method of the user's own does
            raise SampleError("method_crashed", f"{type(error).__name__}: {error}") from error
        if not isinstance(image, np.ndarray):
            raise SampleError("output_unreadable", f"{type(image).__name__}, not an array")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            got = f"{image.dtype} {image.shape}"
            raise SampleError("output_unreadable", f"{got}, not uint8 (height, width, 3)")
        return image

    def fingerprint(self) -> dict[str, Any]:
        versions = {name: _version(name) for name in self.manifest.packages}
        return {
            "method": self.name,
            "entry": self.manifest.entry,
            "params": self.manifest.params,
            "packages": versions,
        }

    def missing(self) -> list[str]:
        if found := lacking_packages(self.manifest):
            return found
        module = self.manifest.entry.partition(":")[0]
        if _exists(module):
            return []
        if module.startswith(_OURS):
            return [f"{module} is not built yet."]
        return [f"There is no module {module!r}: is its folder on PYTHONPATH?"]

    def facts(self) -> dict[str, str]:
        params = ", ".join(f"{key}={value!r}" for key, value in self.manifest.params.items())
        return {"runs": f"{self.manifest.entry}({params}) in the worker"}


def open_own(name: str, manifest: BuiltinManifest) -> Method:
    """The method that the manifest's entry is itself.

    Raises :class:`MachineError` where it cannot be imported, :class:`RecipeError` where it is no
    method or has other parameters.
    """
    entry = _imported(name, manifest)
    if not (isinstance(entry, type) and issubclass(entry, Method)):
        raise RecipeError(f"method {name!r}: {manifest.entry} is no inscene Method")
    construct = cast("Callable[..., Method]", entry)
    try:
        return construct(name, manifest, **manifest.params)
    except TypeError as error:
        raise RecipeError(
            f"method {name!r}: params do not fit {manifest.entry}", why=f"{error}."
        ) from error


def lacking_packages(manifest: BuiltinManifest) -> list[str]:
    """Those that the method needs and that are not installed, a sentence each."""
    lacking = [name for name in manifest.packages if _version(name) is None]
    how = f"inscene[{manifest.extra}]" if manifest.extra else " ".join(lacking)
    return [f"The package {name} is not installed: pip install '{how}'." for name in lacking]


def _imported(name: str, manifest: BuiltinManifest) -> Any:
    module, _, attribute = manifest.entry.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise MachineError(
            f"method {name!r}: {manifest.entry} cannot be imported", why=f"{error}."
        ) from error


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # of a package that it lies in
        return False
