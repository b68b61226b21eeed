"""The method ``face2scene``: both stages, for ``bench`` and ``restore``."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from inscene.bench.methods import Image, Method, Output, Sample, require
from inscene.bench.methods.builtin import lacking_packages
from inscene.bench.methods.manifest import BuiltinManifest
from inscene.doctor.machine import version_of
from inscene.errors import MachineError, SampleError, UsageError
from inscene.face2scene import embedded
from inscene.quiet import only_errors
from inscene.recipe import content_hash
from inscene.restore.first_stage import Finding, FirstStage
from inscene.restore.pairing import at_scene_size
from inscene.restore.settings import Settings, settings_of

if TYPE_CHECKING:
    import torch

    from inscene.face2scene.config import Face2SceneConfig
    from inscene.face2scene.pipeline import Face2ScenePipeline

WITH_REFERENCES = "with_references"
"""An option that is no setting: photographs of people are going to be given."""
EMBEDDED = "embedded_checkpoint"
"""A note: it was the small model that ships."""
_ELSEWHERE = {"checkpoint", "base", "device", "dtype", "ref_fr", "blind"}
"""Settings of which the fingerprint has what they stand for: names of files say nothing of their
content, and something of a machine."""


class Face2Scene(Method):
    """Restores the face with photographs of the person, then the scene by what that tells about its
    degradation. A scene without a face, or without photographs, is restored by its text tokens
    alone, and its notes say so."""

    options: ClassVar[frozenset[str]] = frozenset(Settings.model_fields) | {WITH_REFERENCES}

    manifest: BuiltinManifest

    def __init__(self, name: str, manifest: BuiltinManifest, **params: Any) -> None:
        self.name, self.manifest = name, manifest
        params = dict(params)
        self._references_come = bool(params.pop(WITH_REFERENCES, False))
        self.settings = settings_of(params, f"method {name}")
        self._first = FirstStage(self.settings)
        self.uses_references = self.settings.tokens != 0
        self.sees_clean = self.uses_references and self._first.needs_gt

    @property
    def on_gpu(self) -> bool:
        return not lacking_packages(self.manifest) and self._device.startswith("cuda")

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
        scene = at_scene_size(sample.lq, (height, width), pipeline.config.enlarge)
        finding = self._first.look(scene, sample) if self._has_tokens else Finding()
        started = time.perf_counter()
        with _told(sample):
            restored = self._second(pipeline, sample, finding.pair)
        finding.stage_s["restore_scene"] = time.perf_counter() - started
        notes = [EMBEDDED, *finding.notes] if self._ships else finding.notes
        return Output(restored, tuple(notes), finding.stage_s)

    def _second(self, pipeline: Face2ScenePipeline, sample: Sample, pair: Any) -> Image:
        import torch

        from inscene.face2scene.config import UNTILED
        from inscene.face2scene.sizes import resized

        settings, (width, height) = self.settings, sample.size
        planes = torch.from_numpy(np.ascontiguousarray(sample.lq.transpose(2, 0, 1)))
        lq = planes[None].to(pipeline.device, torch.float32) / 127.5 - 1
        # Enlarged as floats: what the first stage looks at is rounded, and this is not.
        scene = resized(lq, (height, width), pipeline.config.enlarge)[0].clamp(-1, 1)
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
        require(self)
        settings, place = self.settings, self._place
        assert place is not None, "missing() says so"
        base = None if settings.base is None else Path(settings.base).expanduser()
        with only_errors("bitsandbytes"):
            from inscene.face2scene.pipeline import Face2ScenePipeline

            pipeline = Face2ScenePipeline.from_pretrained(
                place, base=base, dtype=self._dtype, device=self._device
            )
        return pipeline.optimised(
            compile=settings.compiled,
            channels_last=self._device != "cpu",
            fuse_lora=pipeline.config.trainable == "lora",
        )

    @property
    def _place(self) -> str | None:
        """Where none is named, the one that ships, unless this variant was trained anew."""
        if self.settings.checkpoint is not None:
            return self.settings.checkpoint
        return embedded.NAME if self.settings.tokens in (None, embedded.TOKENS) else None

    @property
    def _ships(self) -> bool:
        return self._place == embedded.NAME

    @property
    def _has_tokens(self) -> bool:
        """Whether faces have a say. Where it is not known yet, they have."""
        if self.settings.tokens == 0:
            return False
        known = self._place is not None and not lacking_packages(self.manifest)
        return not known or self._config.tokens > 0

    def _must_give_tokens(self) -> None:
        wanted, config = self.settings.tokens, self._config
        if wanted is not None and config.tokens != wanted:
            raise UsageError(
                f"{self.name} has {wanted} degradation tokens, this checkpoint {config.tokens}",
                where=self._place,
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
        """Raises :class:`UsageError` for a checkpoint that is none, or another variant's."""
        if found := lacking_packages(self.manifest):
            return found
        if self._ships:
            try:
                embedded.embedded_folder()
            except MachineError as error:
                return [f"{error}"]
        if self._place is None:
            found.append(
                f"It needs a checkpoint of its own, and {embedded.NAME}, which ships, has "
                f"{embedded.TOKENS} degradation tokens: give --checkpoint, a folder or OWNER/NAME "
                "on the Hub."
            )
        else:
            found += self._lacking_weights()
        found += self._lacking_device()
        if not self._has_tokens:
            return found
        if (ref_fr := self._first.restorer_for(self._references_come)) is not None:
            found += ref_fr.missing()
            try:
                self._first.require(references=self._references_come)
            except MachineError as error:
                found.append(_sentence(f"{error}. Or choose by size: --option face=largest."))
        return found

    def _lacking_weights(self) -> list[str]:
        """What the checkpoint is built upon and this machine has not."""
        from inscene.weights.locate import hashes_of

        try:
            self._must_give_tokens()
            if self._config.base is not None and self.settings.base is None:
                hashes_of(self._config.base.weight)
        except MachineError as error:
            return [_sentence(f"{error}")]
        return []

    def _lacking_device(self) -> list[str]:
        import torch

        kind, _, index = self._device.partition(":")
        if kind == "mps" and not torch.backends.mps.is_available():
            return ["There is no Apple GPU (mps) here."]
        gpus = torch.cuda.device_count() if kind == "cuda" else 0
        if kind == "cuda" and int(index or 0) >= gpus:
            return [f"There is no {self._device} here: torch sees {gpus} CUDA GPUs."]
        return []

    @functools.cached_property
    def _config(self) -> Face2SceneConfig:
        return self._document[0]

    @functools.cached_property
    def _document(self) -> tuple[Face2SceneConfig, dict[str, str]]:
        from inscene.face2scene import document, hub_repo

        assert self._place is not None
        return document.read(hub_repo.local_folder(self._place))

    @functools.cached_property
    def _content(self) -> str:
        config, files = self._document
        return content_hash([config.model_dump(mode="json"), files])

    def fingerprint(self) -> dict[str, Any]:
        """All that decides the output; the checkpoint by its content, wherever it is. Parts that
        are not here are None: nothing has been restored with them."""
        from inscene.weights.locate import MissingWeightError, hashes_of

        settings = self.settings.model_dump(mode="json", exclude=_ELSEWHERE)
        facts: dict[str, Any] = {"method": self.name, "settings": settings, "checkpoint": None}
        if self._place is not None and not lacking_packages(self.manifest):
            config, _ = self._document
            facts["checkpoint"] = self._content
            facts["dtype"] = str(self._dtype).removeprefix("torch.")
            if config.base is not None:
                try:
                    facts["base"] = (
                        hashes_of(config.base.weight)
                        if self.settings.base is None
                        else _hashes_below(Path(self.settings.base).expanduser())
                    )
                except MissingWeightError:
                    facts["base"] = None
        if self._ships:  # its notes say so
            facts["embedded"] = embedded.NAME
        facts["first_stage"] = self._first.fingerprint() if self._has_tokens else None
        facts["packages"] = {name: version_of(name) for name in self.manifest.packages}
        return facts

    def facts(self) -> dict[str, str]:
        settings = self.settings
        faces = (
            f"{settings.detector} on {settings.detect_on}, restored by {settings.ref_fr} "
            f"({settings.ref_fr_quality}); without references by {settings.blind}"
        )
        return {
            "checkpoint": f"{embedded.NAME}, {embedded.WHAT}"
            if self._ships
            else settings.checkpoint or "none given",
            "faces": faces if self._has_tokens else "not looked at: there are no tokens",
            "oracle": "it looks at the clean image: for studies" if self.sees_clean else "",
        }

    def remark(self) -> str:
        if not self._ships:
            return ""
        return f"{embedded.NAME} restores: {embedded.WHAT}. --checkpoint names another."

    def origin(self) -> dict[str, str]:
        """Where the checkpoint lies says nothing of its content, and something of a machine."""
        named = {"checkpoint": embedded.NAME} if self._ships else {}
        return {**named, "checkpoint_sha256": self._content}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


@contextmanager
def _told(sample: Sample) -> Iterator[None]:
    """A scene that is too large for the memory fails alone."""
    import torch

    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's CPU has no class of its own for it
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if not known and "can't allocate memory" not in str(error):
            raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        width, height = sample.size
        raise SampleError("out_of_memory", f"{width}x{height} px") from error


def _hashes_below(folder: Path) -> dict[str, str]:
    """Of what is read of a base model's folder; weights have no other names there."""
    found = {}
    for path in sorted(folder.glob("*/*")):
        if path.parent.name in ("unet", "vae") and path.suffix in (".json", ".safetensors"):
            status = path.stat()
            found[path.relative_to(folder).as_posix()] = _sha256(
                path, status.st_size, status.st_mtime_ns
            )
    return found


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Gigabytes, and asked for several times a run."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _as_bytes(image: torch.Tensor) -> Image:
    """3 × H × W in [-1, 1] to 8 bits, H × W × 3: clamped, rounded to the nearest."""
    levels = ((image.float() + 1) * 127.5).round().clamp(0, 255)
    pixels: Image = levels.permute(1, 2, 0).to("cpu").numpy().astype(np.uint8)
    return pixels
