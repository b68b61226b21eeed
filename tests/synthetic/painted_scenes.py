"""A generator without a model: it paints what the tiny detector takes for a face, more or less like
the reference's, as the seed draws it. The judge that looks at it is the real one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from tiny_weights.insightface_packs import paint_face

from inscene import images
from inscene.errors import SampleError
from inscene.synthetic.generate.request import ByteImage, Generator, Request
from inscene.synthetic.steps.generate import Generate

NO_FACE = 0.15
"""Share of the seeds that give a scene without anybody."""


class Painter:
    def __init__(self, slow_s: float = 0.0) -> None:
        self._slow_s = slow_s

    def prepare(self, requests: Sequence[Request]) -> list[SampleError | None]:
        return [self._problem(request) for request in requests]

    def generate(self, requests: Sequence[Request]) -> list[ByteImage]:
        time.sleep(self._slow_s)
        return [self._paint(request) for request in requests]

    def fingerprint(self) -> dict[str, Any]:
        return {"generator": "painter"}

    def _problem(self, request: Request) -> SampleError | None:
        try:
            images.decode(request.reference)
        except SampleError as error:
            return error
        return None

    def _paint(self, request: Request) -> ByteImage:
        rng = np.random.default_rng([request.seed, *request.prompt.encode()])
        scene = rng.integers(0, 40, (request.height, request.width, 3), dtype=np.uint8)
        if rng.random() > NO_FACE:
            x, y = 80 + 30 * rng.random(), 80 + 60 * rng.random()
            paint_face(scene, x, y, 64)
            half, strength = 20, rng.random() * 250  # what is on the face makes it unlike
            inside = (
                slice(round(y) - half, round(y) + half),
                slice(round(x) - half, round(x) + half),
            )
            pattern = rng.random((2, 2)).repeat(half, 0).repeat(half, 1)[..., None]
            scene[inside] = (255 - strength * pattern * 0.6).astype(np.uint8)
        return scene


@dataclass(frozen=True)
class PaintScenes(Generate):
    """``generate`` with the painter in FLUX's place."""

    slow_s: float = 0.0

    def open_generator(self) -> Generator:
        return Painter(self.slow_s)

    def generator_facts(self) -> dict[str, Any]:
        return Painter().fingerprint()

    @property
    def weights(self) -> tuple[str, ...]:
        return self.identity.weights


def write_references(folder: Path) -> Path:
    """Two people with two photographs each, and one more in which nobody is to be seen."""
    for person, shade in (("00001", 30), ("00289", 60)):
        for index in range(2):
            photo = np.full((256, 256, 3), 10 + 5 * index, np.uint8)
            paint_face(photo, 128, 128, 64)
            photo[118:138, 108:148] = 255 - shade
            (folder / person).mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo).save(folder / person / f"{index}.png")
    Image.fromarray(np.full((256, 256, 3), 20, np.uint8)).save(folder / "00289" / "7.png")
    return folder


def write_recipe(file: Path, *, tries: int = 4, slow_s: float = 0.0, **head: int) -> Path:
    """Small scenes on which the detector sees faces of 64 px, and the paper's threshold."""
    step = {
        "width_px": 192,
        "height_px": 256,
        "tries": tries,
        "device": "cpu",
        "slow_s": slow_s,
        "identity": {"min": 0.55, "sizes_px": [256]},
    }
    recipe: dict[str, Any] = {
        "name": "painted",
        "makes": "scenes",
        "shard_rows": 4,
        "batch_rows": 4,
        **head,
    }
    recipe["steps"] = [{"painted_scenes:PaintScenes": step}]
    file.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return file
