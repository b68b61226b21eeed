"""Reference photographs: a folder of one person, or one with a sub-folder for each."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from inscene import images
from inscene.errors import SampleError, UsageError
from inscene.faces.align import ByteImage
from inscene.faces.crops import identity_crop
from inscene.faces.detectors import FaceDetector
from inscene.faces.embedders import FaceEmbedder
from inscene.faces.identity import Embedding
from inscene.recipe import content_hash


@dataclass(frozen=True)
class ReferenceFolder:
    """Which photographs there are of whom. People have the labels that the folder gives them."""

    root: Path

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise UsageError("there is no folder of references", where=str(self.root))
        if not self.labels and not self.photos(None):
            raise UsageError("holds no images", where=str(self.root))

    @functools.cached_property
    def labels(self) -> frozenset[str]:
        """Sub-folders, one a person; none where the folder is of one person."""
        return frozenset(
            entry.name
            for entry in self.root.iterdir()
            if entry.is_dir()
            and not entry.name.startswith(".")  # thumbnails and the like
            and next(images.iter_image_files(entry), None) is not None
        )

    def photos(self, label: str | None) -> list[Path]:
        """Of one person, sorted; ``label`` None is the one person of a folder without
        sub-folders."""
        return sorted(images.iter_image_files(self.root / label if label else self.root))

    def fingerprint(self) -> str:
        """Changes when a photograph does, or its name; not when the folder is moved."""
        names = sorted(images.iter_image_files(self.root))
        return content_hash(
            [[path.relative_to(self.root).as_posix(), _sha256(path.read_bytes())] for path in names]
        )

    def label_of(self, columns: dict[str, Any]) -> str | None:
        """Whose references a row is compared with: those of its ``identity``, or of the folder that
        its photo is in. Raises ``SampleError`` for one that there are none of."""
        labels = self.labels
        if not labels:
            return None
        identity = columns.get("identity") or PurePosixPath(columns["sample_id"]).parent.name
        if identity not in labels:
            raise SampleError("no_references", f"of {identity!r}" if identity else "no identity")
        return str(identity)


class ReferencePhotos:
    """The photographs themselves, of the people that rows show."""

    def __init__(self, root: Path) -> None:
        self._folder = ReferenceFolder(root)
        self._of = functools.lru_cache(maxsize=2)(self._read)  # rows of one person lie together

    def of(self, columns: dict[str, Any]) -> tuple[ByteImage, ...]:
        """All but the row's own photo; none where there are none of its person."""
        try:
            label = self._folder.label_of(columns)
        except SampleError:
            return ()
        own = columns.get("sha256")
        return tuple(pixels for sha256, pixels in self._of(label) if sha256 != own)

    def _read(self, label: str | None) -> list[tuple[str, ByteImage]]:
        found = []
        for path in self._folder.photos(label):
            try:
                data = images.read_bytes(str(path))
                found.append((_sha256(data), images.decode(data).pixels))
            except SampleError:  # one damaged photograph leaves the others
                continue
        return found


@dataclass(frozen=True)
class Gallery:
    """The embedded references of one person."""

    embeddings: Embedding
    """n × d, each of length 1."""
    names: tuple[str, ...]
    """Of the files."""
    sha256: tuple[str, ...]
    without_face: tuple[str, ...]
    """References in which no face was found, or that could not be read."""

    def without(self, sha256: str | None) -> Embedding:
        """All but the photo itself, which would be as like itself as can be."""
        others = [index for index, own in enumerate(self.sha256) if own != sha256]
        return np.asarray(self.embeddings[others], np.float32)

    def named(self, name: str | None, sha256: str | None) -> Embedding | None:
        """The one with this file name, with or without its ending; not the photo itself."""
        stems = [PurePosixPath(own).stem for own in self.names]
        for candidates in (self.names, stems):
            for index, own in enumerate(candidates):
                if own == name and self.sha256[index] != sha256:
                    return np.asarray(self.embeddings[index], np.float32)
        return None


def embed_gallery(photos: list[Path], detector: FaceDetector, embedder: FaceEmbedder) -> Gallery:
    """The largest face of each photograph, as the embedder sees it."""
    crops, names, hashes, without = [], [], [], []
    for path in photos:
        try:
            data = images.read_bytes(str(path))
            pixels = images.decode(data).pixels
        except SampleError:
            without.append(path.name)
            continue
        (faces,) = detector.detect([pixels])
        if not faces:
            without.append(path.name)
            continue
        crops.append(identity_crop(pixels, faces[0].landmarks5, embedder.template))
        names.append(path.name)
        hashes.append(_sha256(data))
    return Gallery(embedder.embed(crops), tuple(names), tuple(hashes), tuple(without))


def remembered(load: Callable[[str | None], Gallery]) -> Callable[[str | None], Gallery]:
    """Each person's gallery is embedded once a worker."""
    known: dict[str | None, Gallery] = {}

    def get(label: str | None) -> Gallery:
        if label not in known:
            known[label] = load(label)
        return known[label]

    return get


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
