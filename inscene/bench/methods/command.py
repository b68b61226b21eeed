"""Methods that are other programs: images are written, the program run, its outputs read."""

from __future__ import annotations

import functools
import glob
import hashlib
import os
import shlex
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from inscene import images
from inscene.bench.methods import process, template
from inscene.bench.methods.base import Image, Method, Output, Sample
from inscene.bench.methods.checkout import Checkout
from inscene.bench.methods.fit import fitted
from inscene.bench.methods.manifest import CommandManifest
from inscene.bench.methods.places import log_folder, plain, shown
from inscene.errors import MachineError, SampleError

_FACE_SIZE = (512, 512)


class Command(Method):
    """Runs a command over a folder of images, or image by image.

    After a run over a folder that failed, the outputs that exist are used and the samples that have
    none are run one by one: the one at fault fails alone.
    """

    manifest: CommandManifest

    def __init__(self, name: str, manifest: CommandManifest, beside: Path) -> None:
        self.name, self.manifest = name, manifest
        self.uses_references = manifest.uses("references")
        self._checkout = Checkout.of(name, manifest, beside)

    @property
    def on_gpu(self) -> bool:
        """What is run so is a network. Where a GPU is, a second of it there would be in its way."""
        return True

    def restore(self, sample: Sample) -> Image:
        (result,) = self.restore_many([sample])
        if isinstance(result, SampleError):
            raise result
        return result.image

    def restore_many(self, samples: Sequence[Sample]) -> list[Output | SampleError]:
        results: list[Image | SampleError | None] = [self._refusal(sample) for sample in samples]
        waiting = [index for index, result in enumerate(results) if result is None]
        if self.manifest.scope == "folder" and len(waiting) > 1:
            outputs, ended = self._run([samples[index] for index in waiting])
            for index, output in zip(waiting, outputs, strict=True):
                if not (ended.failed and isinstance(output, SampleError)):
                    results[index] = output
        for index, sample in enumerate(samples):
            if results[index] is None:
                results[index] = self._alone(sample)
        return [
            result if isinstance(result, SampleError) else Output(result)
            for result in results
            if result is not None
        ]

    def _refusal(self, sample: Sample) -> SampleError | None:
        """Why the command cannot have a good output for it: said before hours are spent."""
        width, height = sample.size
        lq_height, lq_width = sample.lq.shape[:2]
        if self.manifest.uses("references") and not sample.references:
            return SampleError("references_missing", "it restores with photographs of the person")
        if self.manifest.faces == "aligned512" and sample.size != _FACE_SIZE:
            return SampleError("not_an_aligned_face", f"{width}x{height}, not 512x512")
        factor = self.manifest.upscale
        if factor is None or self.manifest.resize_to_gt != "none":
            return None
        if (lq_width * factor, lq_height * factor) != (width, height):
            return SampleError(
                "upscale_mismatch",
                f"x{factor} of {lq_width}x{lq_height} is not {width}x{height}; "
                "resize_to_gt: lanczos would resize",
            )
        return None

    def _alone(self, sample: Sample) -> Image | SampleError:
        (output,), ended = self._run([sample])
        if not isinstance(output, SampleError):
            return output
        where = f"log: {shown(self._log)}"
        if ended.code is None:
            limit = f"no output within {self.manifest.timeout_s:g} s"
            return SampleError("method_timeout", f"{limit}; {where}")
        if ended.failed:
            return SampleError("method_crashed", f"{ended.cause}; {where}")
        return SampleError(output.reason, f"{output.detail}; {where}")

    def _run(self, samples: Sequence[Sample]) -> tuple[list[Image | SampleError], process.Ended]:
        self._require()
        with tempfile.TemporaryDirectory(prefix="inscene-method-") as folder:
            work = Path(folder)
            for name in ("in", "out"):
                (work / name).mkdir()
            stems = [safe_stem(sample) for sample in samples]
            for stem, sample in zip(stems, samples, strict=True):
                (work / "in" / f"{stem}.png").write_bytes(images.encode_png(sample.lq))
            values = self._values(work, stems[0])
            if self.manifest.uses("references"):
                (work / "references").mkdir()
                for number, image in enumerate(samples[0].references):
                    path = work / "references" / f"{number:03d}.png"
                    path.write_bytes(images.encode_png(image))
            for name, text in self.manifest.files.items():
                (work / name).write_text(template.filled(text, values), encoding="utf-8")
            ended = process.run(
                [template.filled(argument, values) for argument in self.manifest.command],
                self._checkout.cwd,
                work,
                self._log,
                self.manifest.timeout_s * len(samples),
            )
            outputs = [
                self._output(work, stem, sample.size)
                for stem, sample in zip(stems, samples, strict=True)
            ]
        return outputs, ended

    def _values(self, work: Path, stem: str) -> dict[str, str]:
        one = self.manifest.scope == "image"
        return {
            "python": str(self._checkout.python),
            "checkout": str(self._checkout.folder),
            "input": str(work / "in" / f"{stem}.png" if one else work / "in"),
            "output": str(work / "out" / f"{stem}.png" if one else work / "out"),
            "input_folder": str(work / "in"),
            "output_folder": str(work / "out"),
            "references": str(work / "references"),
            "seed": str(self.manifest.seed),
            "work": str(work),
        }

    def _output(self, work: Path, stem: str, size: tuple[int, int]) -> Image | SampleError:
        name = template.filled(self.manifest.output, {"stem": stem})
        found = sorted(glob.glob(name, root_dir=work))
        if not found:
            return SampleError("output_missing", f"nothing was written to {name}")
        if len(found) > 1:
            return SampleError("output_ambiguous", f"{len(found)} files fit {name}")
        try:
            image = images.decode(images.read_bytes(work / found[0])).pixels
        except SampleError as error:
            return SampleError("output_unreadable", f"{found[0]}: {error}")
        return fitted(image, size, self.manifest.resize_to_gt)

    def _require(self) -> None:
        if missing := self._missing:
            raise MachineError(
                f"method {self.name!r} cannot run here",
                why=" ".join(missing),
                next_step="inscene bench --plan lists what is missing.",
            )

    @functools.cached_property
    def _missing(self) -> list[str]:
        return self._checkout.missing()

    @functools.cached_property
    def _log(self) -> Path:
        """One a worker and run: a line names each command, its output follows."""
        folder = log_folder(self.name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MachineError(
                "no folder for the logs of external methods",
                where=str(folder),
                why=f"{error}.",
                next_step="Set INSCENE_METHODS to a folder that can be written.",
            ) from error
        return folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"

    def fingerprint(self) -> dict[str, Any]:
        """What is run, the commit that is there, and how large its weights are."""
        decides = ("command", "files", "output", "seed", "resize_to_gt", "faces", "upscale")
        sizes = {
            weight.path: _bytes(self._checkout.folder / weight.path)
            for weight in self.manifest.weights
            if weight.path is not None
        }
        return {
            "method": self.name,
            **self.manifest.model_dump(mode="json", include=set(decides)),
            "commit": self._checkout.commit() or self.manifest.commit,
            "weights": sizes,
        }

    def missing(self) -> list[str]:
        return self._checkout.missing()

    def facts(self) -> dict[str, str]:
        values = {name: f"<{name}>" for name in template.PLACEHOLDERS}
        values |= {
            "python": shown(self._checkout.python),
            "checkout": shown(self._checkout.folder),
            "seed": str(self.manifest.seed),
        }
        words = [template.filled(argument, values) for argument in self.manifest.command]
        cwd = shown(self._checkout.cwd)
        facts = {**self._checkout.facts(), "runs": f"cd {cwd} && {_as_typed(words)}"}
        weights = [
            f"{weight.path or 'fetched by the command'} (from {weight.source})"
            for weight in self.manifest.weights
        ]
        memory = self.manifest.vram_gb
        return facts | {
            "files": ", ".join(f"<work>/{name}" for name in self.manifest.files),
            "weights": "; ".join(weights) or "none named",
            "GPU memory": "unknown" if memory is None else f"{memory:g} GB",
            "time limit": f"{self.manifest.timeout_s:g} s an image, scope {self.manifest.scope}",
            "logs": shown(log_folder(self.name)),
        }


def safe_stem(sample: Sample) -> str:
    """Letters, digits and underscores, beginning with a letter or digit, unlike any other's."""
    key = f"{sample.id}@{sample.version}"
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{plain(str(PurePosixPath(sample.id).with_suffix('')))}_{digest}"


def _as_typed(words: Sequence[str]) -> str:
    return " ".join(word if word.startswith(("<", "~")) else shlex.quote(word) for word in words)


def _bytes(path: Path) -> int | None:
    if path.is_dir():
        return sum(file.stat().st_size for file in sorted(path.rglob("*")) if file.is_file())
    return path.stat().st_size if path.is_file() else None
