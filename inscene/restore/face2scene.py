"""The method ``face2scene``: both stages, for ``bench`` and ``restore``."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from inscene.bench.methods import Image, Method, Output, Sample
from inscene.bench.methods.builtin import lacking_packages
from inscene.bench.methods.manifest import BuiltinManifest
from inscene.doctor.machine import version_of
from inscene.errors import InsceneError, MachineError, SampleError, UsageError
from inscene.recipe import content_hash
from inscene.restore.first_stage import FirstStage
from inscene.restore.pairing import at_scene_size
from inscene.restore.settings import Settings, settings_of

if TYPE_CHECKING:
    import torch

    from inscene.face2scene.config import Face2SceneConfig
    from inscene.face2scene.pipeline import Face2ScenePipeline

WITH_REFERENCES = "with_references"
"""An option that is no setting: photographs of people are going to be given."""


class Face2Scene(Method):
    """Restores the face with photographs of the person, then the scene by what that tells about its
    degradation. A scene without a face, or without photographs, is restored by its text tokens
    alone, and its notes say so."""

    options: ClassVar[frozenset[str]] = frozenset(Settings.model_fields) | {WITH_REFERENCES}

    def __init__(self, name: str, manifest: BuiltinManifest, **params: Any) -> None:
        self.name, self.manifest = name, manifest
        params = dict(params)
        self._references_come = bool(params.pop(WITH_REFERENCES, False))
        self.settings = settings_of(params, f"method {name}")
        self._first = FirstStage(self.settings)
        self.sees_clean = self._first.needs_gt

    def with_options(self, options: Mapping[str, Any]) -> Method:
        known = {key: value for key, value in options.items() if key in self.options}
        if not known:
            return self
        params = {**self.manifest.params, **known}
        return Face2Scene(self.name, self.manifest, **params)

    def restore(self, sample: Sample) -> Image:
        return self.output(sample).image

    def _one(self, sample: Sample) -> Output | SampleError:
        try:
            return self.output(sample)
        except SampleError as error:
            return error

    def output(self, sample: Sample) -> Output:
        """Raises :class:`SampleError` where there is none."""
        pipeline = self._pipeline
        width, height = sample.size
        scene = at_scene_size(sample.lq, (height, width))
        finding = self._first.look(scene, sample)
        started = time.perf_counter()
        restored = self._second(pipeline, sample, finding.pair)
        finding.stage_s["restore_scene"] = time.perf_counter() - started
        return Output(restored, tuple(finding.notes), finding.stage_s)

    def _second(self, pipeline: Face2ScenePipeline, sample: Sample, pair: Any) -> Image:
        import torch

        from inscene.face2scene.config import UNTILED
        from inscene.face2scene.sizes import resized

        settings, (width, height) = self.settings, sample.size
        planes = torch.from_numpy(np.ascontiguousarray(sample.lq.transpose(2, 0, 1)))
        lq = planes[None].to(pipeline.device, torch.float32) / 127.5 - 1
        # Enlarged as floats: what the first stage looks at is rounded, and this is not.
        scene = resized(lq, (height, width))[0]
        (restored,) = pipeline(
            [scene],
            [None if pair is None else pair.face_pair(pipeline.device, pipeline.dtype)],
            guidance_scale=settings.guidance_scale,
            colour_fix=settings.colour_fix,
            tiling=None if settings.tiled else UNTILED,
        )
        return _as_bytes(restored)

    @functools.cached_property
    def _pipeline(self) -> Face2ScenePipeline:
        if missing := self.missing():
            raise MachineError(f"method {self.name!r} cannot run here", why=" ".join(missing))
        from inscene.face2scene.pipeline import Face2ScenePipeline

        settings = self.settings
        assert settings.checkpoint is not None, "missing() says so"
        base = None if settings.base is None else Path(settings.base).expanduser()
        pipeline = Face2ScenePipeline.from_pretrained(
            settings.checkpoint, base=base, dtype=self._dtype, device=self._device
        )
        self._must_give_tokens(pipeline.config)
        return pipeline.optimised(
            compile=settings.compiled,
            channels_last=self._device != "cpu",
            fuse_lora=pipeline.config.trainable == "lora",
        )

    def _must_give_tokens(self, config: Face2SceneConfig) -> None:
        wanted = self.settings.tokens
        if wanted is not None and config.tokens != wanted:
            raise UsageError(
                f"{self.name} has {wanted} degradation tokens, this checkpoint {config.tokens}",
                where=self.settings.checkpoint,
                why="The variants are trained anew.",
                next_step="Give --checkpoint the one that was trained so.",
            )

    @functools.cached_property
    def _device(self) -> str:
        if self.settings.device != "auto":
            return self.settings.device
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def _dtype(self) -> torch.dtype:
        import torch

        if self.settings.dtype == "auto":
            return torch.float32 if self._device == "cpu" else torch.bfloat16
        return torch.bfloat16 if self.settings.dtype == "bfloat16" else torch.float32

    def missing(self) -> list[str]:
        found = lacking_packages(self.manifest)
        if found:
            return found
        if self.settings.checkpoint is None:
            found.append(
                "It needs a checkpoint, and none ships with this version: give --checkpoint, a "
                "folder or OWNER/NAME on the Hub."
            )
        else:
            found += self._lacking_weights()
        if (ref_fr := self._first.restorer_for(self._references_come)) is not None:
            found += ref_fr.missing()
            try:
                self._first.require(references=self._references_come)
            except MachineError as error:
                found.append(f"{error} Or choose by size: --option face=largest.")
        return found

    def _lacking_weights(self) -> list[str]:
        """What the checkpoint is built upon and this machine has not."""
        from inscene.weights.locate import hashes_of

        try:
            config = self._config
            if config.base is not None and self.settings.base is None:
                hashes_of(config.base.weight)
        except InsceneError as error:
            return [f"{error}"]
        return []

    @functools.cached_property
    def _config(self) -> Face2SceneConfig:
        return self._document[0]

    @functools.cached_property
    def _document(self) -> tuple[Face2SceneConfig, dict[str, str]]:
        from inscene.face2scene import checkpoint, hub_repo

        assert self.settings.checkpoint is not None
        return checkpoint.read(hub_repo.local_folder(self.settings.checkpoint))

    def fingerprint(self) -> dict[str, Any]:
        """All that decides the output; the checkpoint by its content, wherever it is. Parts that
        are not here are None: nothing has been restored with them."""
        from inscene.weights.locate import MissingWeightError, hashes_of

        settings = self.settings.model_dump(mode="json", exclude={"checkpoint", "base"})
        facts: dict[str, Any] = {"method": self.name, "settings": settings, "checkpoint": None}
        if self.settings.checkpoint is not None and not lacking_packages(self.manifest):
            config, files = self._document
            facts["checkpoint"] = content_hash([config.model_dump(mode="json"), files])
            if config.base is not None and self.settings.base is None:
                try:
                    facts["base"] = hashes_of(config.base.weight)
                except MissingWeightError:
                    facts["base"] = None
        facts["first_stage"] = self._first.fingerprint()
        facts["packages"] = {name: version_of(name) for name in self.manifest.packages}
        return facts

    def facts(self) -> dict[str, str]:
        settings = self.settings
        return {
            "checkpoint": settings.checkpoint or "none given",
            "faces": f"{settings.detector} on {settings.detect_on}, restored by {settings.ref_fr} "
            f"({settings.ref_fr_quality}); without references by {settings.blind}",
        }


def _as_bytes(image: torch.Tensor) -> Image:
    """3 × H × W in [-1, 1] to 8 bits, H × W × 3: clamped, rounded to the nearest."""
    levels = ((image.float() + 1) * 127.5).round().clamp(0, 255)
    pixels: Image = levels.permute(1, 2, 0).to("cpu").numpy().astype(np.uint8)
    return pixels
