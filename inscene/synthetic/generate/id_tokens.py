"""From a reference photo to identity tokens: find the face, recognise it, project it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from inscene.errors import SampleError
from inscene.faces.crops import identity_crop
from inscene.faces.detectors import ByteImage, FaceDetector
from inscene.faces.detectors.choice import DetectorChoice
from inscene.faces.embedders import FaceEmbedder
from inscene.faces.embedders.choice import EMBEDDERS
from inscene.faces.face import Face
from inscene.images.decode import decode
from inscene.recipe import content_hash
from inscene.synthetic.generate.id_projector import IdProjector, load_projector
from inscene.synthetic.generate.identity import EMBEDDER, PROJECTOR, IdTokenSettings
from inscene.synthetic.generate.token_cache import TokenCache, tokens_folder
from inscene.weights.locate import find_file


class IdTokens:
    """Identity tokens of photos, each computed once.

    Recognised and projected on the CPU, in float32, then rounded to bfloat16: what is sampled does
    not depend on where it was prepared, and no accelerator waits for memory. Models are opened at
    the first photo that needs them.
    """

    def __init__(
        self, settings: IdTokenSettings | None = None, *, cache: Path | None = None
    ) -> None:
        """``cache``: a folder other than the user's. Raises ``MissingWeightError``."""
        self.settings = settings or IdTokenSettings()
        self._fingerprint = content_hash(self.settings.fingerprint())
        config = self.settings.projector
        self._cache = TokenCache(cache or tokens_folder(), (config.tokens, config.token_dim))

    def of(self, reference: bytes) -> Tensor:
        """tokens × token_dim, bfloat16, on the CPU, of the largest face in an image file.

        Raises ``SampleError``: ``no_face_in_reference``, ``no_identity``, or what makes the file no
        image.
        """
        key = content_hash([hashlib.sha256(reference).hexdigest(), self._fingerprint])
        return self._cache.get(key, lambda: self._compute(reference))

    def _compute(self, reference: bytes) -> Tensor:
        photo = decode(reference).pixels
        return _opened(self.settings, self._fingerprint).tokens(photo)


class _Models:
    def __init__(self, settings: IdTokenSettings) -> None:
        self._detectors = [choice.open() for choice in one_by_one(settings.detector)]
        self._embedder: FaceEmbedder = EMBEDDERS[EMBEDDER].open()
        self._projector: IdProjector = load_projector(find_file(*PROJECTOR), settings.projector)

    def tokens(self, photo: ByteImage) -> Tensor:
        face = first_face(photo, self._detectors)
        if face is None:
            size = f"{photo.shape[1]} × {photo.shape[0]}"
            raise SampleError("no_face_in_reference", f"nobody was found in {size} px")
        try:
            crop = identity_crop(photo, face.landmarks5, self._embedder.template)
        except ValueError as error:  # landmarks that coincide are of no face
            raise SampleError("no_face_in_reference", f"{error}") from error
        vector = torch.from_numpy(self._embedder.embed([crop]))
        with torch.no_grad():
            tokens: Tensor = self._projector(vector)[0].to(torch.bfloat16)
        return tokens


@functools.lru_cache(maxsize=1)
def _opened(settings: IdTokenSettings, fingerprint: str) -> _Models:
    """Once a process; the fingerprint has the hashes of their files."""
    return _Models(settings)


def one_by_one(choice: DetectorChoice) -> list[DetectorChoice]:
    """The detector once for each of its sizes, to be tried in turn."""
    if choice.sizes_px is None:
        return [choice]
    return [replace(choice, sizes_px=(size,)) for size in choice.sizes_px]


def first_face(photo: ByteImage, detectors: Sequence[FaceDetector]) -> Face | None:
    """The largest face that the first detector to see anyone sees."""
    for detector in detectors:
        (faces,) = detector.detect([photo])
        if faces:
            return faces[0]
    return None
