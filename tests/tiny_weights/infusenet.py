"""InfiniteYou's sim_stage1 with random weights, in its official layout: an InfuseNet for the
transformer of :mod:`tiny_weights.flux`, and the projector in its full size, whose 338 MB are views
of one small storage."""

from __future__ import annotations

import json
from pathlib import Path

from tiny_weights.flux import TRANSFORMER, write_sharded
from tiny_weights.strided import strided_state

TOKEN_DIM = 4096
"""Of the projector, and so of what InfuseNet attends to; FLUX's own prompts may be narrower."""
INFUSENET = TRANSFORMER | {
    "num_layers": 1,
    "num_single_layers": 1,
    "joint_attention_dim": TOKEN_DIM,
    "num_mode": None,
    "conditioning_embedding_channels": None,
}


def write_infiniteyou(folder: Path) -> None:
    """All that the manifest's ``infiniteyou-sim`` lists, and nothing else."""
    write_infusenet(folder / "InfuseNetModel")
    write_projector(folder / "image_proj_model.bin")


def write_infusenet(folder: Path, *, seed: int = 3) -> None:
    import torch

    from inscene.quiet import quiet_diffusion

    with torch.random.fork_rng(devices=[]), quiet_diffusion():
        from diffusers import FluxControlNetModel

        torch.manual_seed(seed)
        model = FluxControlNetModel(**INFUSENET)
        # What begins at zero would be without any effect; and who is meant must show in few steps.
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.startswith("controlnet_"):
                    std = 0.05 if name.startswith("controlnet_x_embedder") else 0.4
                    torch.nn.init.normal_(parameter, std=std)
                elif ".attn." in name:
                    parameter *= 4
    write_sharded(folder, model, "diffusion_pytorch_model", 2)
    config = json.loads((folder / "config.json").read_text())
    # As in the official file: an entry that diffusers does not know, an older version.
    config |= {"_diffusers_version": "0.31.0.dev0", "_infu_flux_version": "1.0"}
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def write_projector(path: Path, *, seed: int = 4) -> None:
    import torch

    from inscene.synthetic.generate.id_projector import IdProjector

    with torch.device("meta"):
        wanted = IdProjector().state_dict()
    state = strided_state(wanted.items(), seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"image_proj": state}, path)


def reference(person: int, *, face_px: int = 64, x: int = 160, y: int = 160) -> bytes:
    """A PNG of 320 × 320 px with one face around x and y, for the detector of
    :mod:`tiny_weights.insightface_packs`; to a recogniser each person looks different."""
    import cv2
    import numpy as np

    photo = np.zeros((320, 320, 3), np.uint8)
    coarse = np.random.default_rng(person).integers(170, 256, (4, 4, 3), dtype=np.uint8)
    face = cv2.resize(coarse, (face_px, face_px), interpolation=cv2.INTER_NEAREST)
    top, left = y - face_px // 2, x - face_px // 2
    photo[top : top + face_px, left : left + face_px] = face
    _, png = cv2.imencode(".png", photo[..., ::-1])
    return png.tobytes()
