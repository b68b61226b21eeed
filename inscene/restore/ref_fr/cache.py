"""Restored faces on disk: a face is restored once, whichever dataset or run asks for it.

A file's name is a hash of all that decides its content, so nothing in the folder is ever out of
date; what is not wanted any more can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inscene import images
from inscene.errors import SampleError
from inscene.faces.align import ByteImage
from inscene.recipe import content_hash
from inscene.restore.ref_fr.base import SIDE_PX, AlignedFace, RefFR

CACHE_VARIABLE = "INSCENE_REF_FR_CACHE"
"""Environment variable: another folder, e.g. one that all machines of a cluster share."""


def cache_folder() -> Path:
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "inscene" / "ref-fr"


class Cached:
    """Another restorer's outputs, remembered. Failures are not: the next run tries again."""

    def __init__(self, inner: RefFR, folder: Path | None = None) -> None:
        self._inner = inner
        self._folder = folder or cache_folder()
        self.name = inner.name
        self.needs_gt = inner.needs_gt
        self.needs_references = inner.needs_references
        self.draws = inner.draws
        self.on_gpu = inner.on_gpu

    def restore(self, faces: Sequence[AlignedFace]) -> list[ByteImage | SampleError]:
        paths = [self._path(face) for face in faces]
        results: list[ByteImage | SampleError | None] = [_read(path) for path in paths]
        lacking = [index for index, result in enumerate(results) if result is None]
        if lacking:
            made = self._inner.restore([faces[index] for index in lacking])
            for index, output in zip(lacking, made, strict=True):
                if not isinstance(output, SampleError):
                    _write(paths[index], output)
                results[index] = output
        return [result for result in results if result is not None]

    def key(self, face: AlignedFace) -> str:
        """Of pixels and numbers, not of names: the same face in another dataset is the same."""
        references = [images.pixel_hash(image) for image in face.references]
        return content_hash(
            {
                "lq": images.pixel_hash(face.lq),
                "by": self._by,
                "seed": face.seed if self.draws else None,
                "references": sorted(references) if self.needs_references else None,
                "gt": _hash(face.gt) if self.needs_gt else None,
            }
        )

    def _path(self, face: AlignedFace) -> Path:
        key = self.key(face)
        return self._folder / key[:2] / f"{key}.png"

    @functools.cached_property
    def _by(self) -> str:
        return content_hash([self.name, self._inner.fingerprint()])

    def fingerprint(self) -> dict[str, Any]:
        return self._inner.fingerprint()

    def missing(self) -> list[str]:
        return self._inner.missing()


def _hash(image: ByteImage | None) -> str | None:
    return None if image is None else images.pixel_hash(image)


_DIGEST_BYTES = hashlib.sha256().digest_size


def _read(path: Path) -> ByteImage | None:
    """None where there is none, or a damaged one: it is made again. Behind the PNG, where image
    readers do not look, stands its SHA-256: not every damage keeps a PNG from being decoded."""
    try:
        data = images.read_bytes(path)
        png, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if hashlib.sha256(png).digest() != digest:
            return None
        pixels = images.decode(png).pixels
    except SampleError:
        return None
    return pixels if pixels.shape == (SIDE_PX, SIDE_PX, 3) else None


def _write(path: Path, image: ByteImage) -> None:
    """Appears whole, whoever else writes it. Where it cannot be written nothing is done: the
    dataset has the face, and it can be made again."""
    png = images.encode_png(image)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-", suffix=".png")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(png + hashlib.sha256(png).digest())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
