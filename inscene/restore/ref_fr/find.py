"""A face restorer from its name."""

from __future__ import annotations

from inscene.bench.methods import absolute as absolute_method
from inscene.bench.methods import find_method
from inscene.bench.methods.command import Command
from inscene.bench.methods.manifest import CommandManifest, load_manifest
from inscene.errors import UsageError
from inscene.restore.ref_fr.base import RefFR
from inscene.restore.ref_fr.cache import Cached
from inscene.restore.ref_fr.method import ALIGNED, MethodRefFR
from inscene.restore.ref_fr.perturbed import LEVELS, Level, Perturbed, PerturbedGT
from inscene.restore.ref_fr.plain import GroundTruth, Identity
from inscene.shipped import shipped_folder, shipped_names
from inscene.suggest import did_you_mean

PERTURBED = "perturbed"
_ENDINGS = (".yaml", ".yml")
_OF_A_MANIFEST = "Or the path of a manifest."


def find_ref_fr(name: str) -> RefFR:
    """``gt``, ``identity``, ``perturbed:LEVEL``, ``perturbed:LEVEL:NAME``, the name of a shipped
    method for aligned faces, or the path of a manifest of one. What is slow comes with its cache.

    Raises ``UsageError`` with the nearest known name, ``RecipeError`` for a file that is no
    manifest.
    """
    head, _, rest = name.partition(":")
    if head == PERTURBED:
        return _perturbed(name, *rest.partition(":")[::2])
    if name == GroundTruth.name:
        return GroundTruth()
    if name == Identity.name:
        return Identity()
    return Cached(MethodRefFR(_command(name)))


def absolute(name: str) -> str:
    """The name with the whole path in it, where it has one: workers may run elsewhere."""
    if name.startswith(f"{PERTURBED}:") and name.count(":") >= 2:
        head, level, rest = name.split(":", 2)
        return f"{head}:{level}:{absolute_method(rest)}"
    return absolute_method(name)


def known_names() -> list[str]:
    """All that ships."""
    folder = shipped_folder("manifests") / "methods"
    methods = [
        method
        for method in shipped_names("manifests", "methods")
        if _takes_aligned_faces(load_manifest(folder / f"{method}.yaml"))
    ]
    levels = [f"{PERTURBED}:{level}" for level in LEVELS]
    return [GroundTruth.name, Identity.name, *levels, *methods]


def _perturbed(name: str, level: str, of: str) -> RefFR:
    if level not in LEVELS:
        given = [f"{PERTURBED}:{one}" for one in LEVELS]
        raise UsageError(f"no face restorer {name!r}", next_step=did_you_mean(name, given))
    known: Level = next(one for one in LEVELS if one == level)
    return Perturbed(find_ref_fr(of), known) if of else Cached(PerturbedGT(known))


def _command(name: str) -> Command:
    if not name.endswith(_ENDINGS) and name not in shipped_names("manifests", "methods"):
        hint = did_you_mean(name, known_names())
        raise UsageError(f"no face restorer {name!r}", next_step=f"{hint} {_OF_A_MANIFEST}")
    method = find_method(name)
    if isinstance(method, Command) and _takes_aligned_faces(method.manifest):
        return method
    raise UsageError(
        f"the method {method.name!r} is no restorer of aligned faces",
        why=f"Its manifest is not of the kind 'command' with 'faces: {ALIGNED}'.",
        next_step=f"Known: {', '.join(known_names())}. {_OF_A_MANIFEST}",
    )


def _takes_aligned_faces(manifest: object) -> bool:
    return isinstance(manifest, CommandManifest) and manifest.faces == ALIGNED
