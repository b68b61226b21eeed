"""FaDeX of a checkpoint, without the models that the checkpoint has beside it; or FaDeX alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from inscene.errors import VerificationError
from inscene.face2scene import document, hub_repo
from inscene.face2scene.config import Face2SceneConfig
from inscene.face2scene.face_pair import FacePair, fitted
from inscene.face2scene.fadex import DegradationCode, FaDeX
from inscene.face2scene.fadex_folder import load_fadex
from inscene.face2scene.families import find_family
from inscene.recipe import content_hash


@dataclass(frozen=True, eq=False)
class Encoder:
    """FaDeX in evaluation mode, in float32 on the CPU: [chosen] forty crops take a GPU no time
    worth having, and the numbers are the same wherever they are measured again."""

    fadex: FaDeX
    config: Face2SceneConfig
    place: str
    """As it was named."""
    sha256: str
    """Of the configuration and the hashes of all files: the checkpoint, wherever it is. Of FaDeX
    alone the configuration is its family's."""
    files: dict[str, str]
    """SHA-256 of FaDeX's own."""

    @torch.inference_mode()
    def codes(self, pairs: Iterable[FacePair]) -> tuple[Tensor, Tensor]:
        """N pairs to N × embedding_dim and N × C: unit outputs of the head, and pooled features.
        Each pair alone and as in inference: padded or cropped, never resized."""
        faces = self.config.faces
        embeddings, features = [], []
        for pair in pairs:
            face = fitted(pair, faces.min_side_px, faces.max_side_px)
            code: DegradationCode = self.fadex(face.hq[None], face.lq[None])
            embeddings.append(code.embedding[0])
            features.append(self.fadex.pooled(code.features)[0])
        return torch.stack(embeddings), torch.stack(features)


def load_encoder(place: str) -> Encoder:
    """``place``: a checkpoint's folder, that of FaDeX alone, a run of its training, or
    ``OWNER/NAME`` on the Hub. Raises as :func:`load_fadex` and :func:`document.read`."""
    folder = hub_repo.local_folder(place)
    saved = load_fadex(folder)
    if not all(bool(one.isfinite().all()) for one in saved.fadex.state_dict().values()):
        raise VerificationError("FaDeX has weights that are not finite", where=str(folder))
    config, hashes = find_family(saved.family).config, dict(saved.files)
    if document.is_checkpoint(folder):
        config, hashes = document.read(folder)
    sha256 = content_hash([config.model_dump(mode="json"), hashes])
    return Encoder(saved.fadex, config, place, sha256, dict(saved.files))
