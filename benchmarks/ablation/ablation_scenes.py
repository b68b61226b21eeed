"""The held-out photographs, each degraded once: what all models restore, and from which faces."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inscene.dataset.sources import Input, list_inputs
from inscene.errors import UsageError
from inscene.face2scene.document import sha256_of
from inscene.faces.align import ByteImage
from inscene.seeds import Draws
from inscene.training.restorer.recipe import DataChoices
from inscene.training.restorer.samples import list_samples
from inscene.training.restorer.scenes import Scene, SceneReader

SEED = 0
WHOLE_PX = 4096
"""Of larger photographs a window."""

Face = tuple[ByteImage, ByteImage]
"""LQ and HQ of one place."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """``faces``: a square of the scene beside the clean scene, as in training, by what it is of:

    own     the scene itself
    picture another photograph, degraded as this scene was
    both    another photograph, degraded by its own operator
    """

    sample_id: str
    lq: ByteImage
    """At the size of ``hq``."""
    hq: ByteImage
    bicubic: ByteImage
    faces: dict[str, Face]


def read_scenes(folder: Path | str, choices: DataChoices) -> list[HeldOut]:
    """In training's way, but the whole photograph in place of a crop. Always the same."""
    found = list_samples([str(folder)], seed=SEED, hold_back=0).train
    if len(found) < 2:
        raise UsageError("two photographs are needed at least", where=str(folder))
    whole = choices.model_copy(update={"scene_px": WHOLE_PX})
    reader = SceneReader(whole)
    draws = [Draws(SEED, "ablation", one.id) for one in found]
    own = [reader.read(one, 0, drawn) for one, drawn in zip(found, draws, strict=True)]
    scenes = []
    for index, scene in enumerate(own):
        after = (index + 1) % len(found)
        alike = reader.read(found[after], 0, draws[index])
        faces = {"own": _face(scene), "picture": _face(alike), "both": _face(own[after])}
        scenes.append(HeldOut(scene.sample_id, scene.lq, scene.hq, scene.bicubic(), faces))
    return scenes


def must_be_apart(photos: Sequence[str], held_out: str) -> None:
    """Raises ``UsageError`` for a file that is in both, by whatever name."""
    trained = {_hash(one) for source in photos for one in list_inputs([source])}
    for one in list_inputs([held_out]):
        if _hash(one) in trained:
            raise UsageError(
                "a held-out photograph is also trained on",
                where=one.file,
                next_step="Hold out others, or train without it.",
            )


def _hash(one: Input) -> str:
    return sha256_of(Path(one.file))


def digest(scenes: Sequence[HeldOut]) -> str:
    """Of all that models are given and judged by."""
    found = hashlib.sha256()
    for one in scenes:
        found.update(one.sample_id.encode())
        for image in (one.lq, one.hq, *(part for face in one.faces.values() for part in face)):
            found.update(f"{image.shape}".encode())
            found.update(image.tobytes())
    return found.hexdigest()


def _face(scene: Scene) -> Face:
    if scene.face is None:
        raise UsageError(
            "a scene without a face pair says nothing of tokens",
            where=scene.sample_id,
            next_step="Leave data.faces.stand_in as it is.",
        )
    return scene.face[0].copy(), scene.face[1].copy()
