"""FaDeX of a checkpoint, without the models that the checkpoint has beside it."""

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
    """Of the configuration and the hashes of all files: the checkpoint, wherever it is."""
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
    """``place``: a checkpoint's folder, or ``OWNER/NAME`` on the Hub. Raises as
    :func:`hub_repo.local_folder`, :func:`document.read` and :func:`document.verify`."""
    folder = hub_repo.local_folder(place)
    config, hashes = document.read(folder)
    document.verify(folder, config, hashes)
    fadex = FaDeX.from_pretrained(
        folder / "fadex", local_files_only=True, use_safetensors=True, torch_dtype=torch.float32
    ).eval()
    if not all(bool(one.isfinite().all()) for one in fadex.state_dict().values()):
        raise VerificationError("FaDeX has weights that are not finite", where=str(folder))
    own = {name: sha256 for name, sha256 in hashes.items() if name.startswith("fadex/")}
    sha256 = content_hash([config.model_dump(mode="json"), hashes])
    return Encoder(fadex, config, place, sha256, own)
