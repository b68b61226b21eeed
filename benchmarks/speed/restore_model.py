"""The model, the scene and the face that restore.py measures with. All random, the same each time.

What an image costs does not depend on weights, but whether differences of outputs mean anything
does: layers at the end of each network are scaled so that latents, noise and images are as large as
a trained model's, and the adapters are no longer zero. The step is 249, as an untrained UNet's
rounding would be enlarged 14.6 times at 999.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from inscene.face2scene.config import Face2SceneConfig, Prompts, Schedule
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.families import find_family
from inscene.face2scene.pipeline import Face2ScenePipeline

ADAPTER_STD = 0.02
IMAGE_STD = 0.4
CALIBRATION_PX = 128


def build(family: str) -> Face2ScenePipeline:
    """float32, on the CPU; with adapters, as the paper's model."""
    config = find_family(family).config
    update = {
        "base": None,
        "trainable": "lora",
        "schedule": Schedule(timestep=249),
        "prompts": Prompts(seed=0),
    }
    pipeline = Face2ScenePipeline.from_family(family, config=config.model_copy(update=update))
    _as_trained(pipeline)
    return pipeline


def face_side(config: Face2SceneConfig, side: int) -> int:
    """px; a quarter of the scene, as far as the model looks at it."""
    return min(max(side // 4, config.faces.min_side_px), config.faces.max_side_px)


def scene_and_pair(config: Face2SceneConfig, side: int) -> tuple[Tensor, FacePair]:
    """3×side×side, noisy; and a face from its middle beside the same without noise."""
    clean = _smooth(side, seed=1)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    scene = (clean + 0.1 * noise).clamp(-1, 1)
    face = face_side(config, side)
    middle = slice((side - face) // 2, (side + face) // 2)
    return scene, FacePair(scene[:, middle, middle], clean[:, middle, middle])


def _smooth(side: int, seed: int) -> Tensor:
    coarse = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return functional.interpolate(coarse, size=(side, side), mode="bicubic")[0].clamp(-1, 1)


@torch.no_grad()
def _as_trained(pipeline: Face2ScenePipeline) -> None:
    restorer = pipeline.restorer
    generator = torch.Generator().manual_seed(0)
    for model in (restorer.unet, restorer.vae):
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * ADAPTER_STD)
    last = restorer.unet.conv_out.weight
    last.copy_(torch.randn(last.shape, generator=generator))
    scene, _ = scene_and_pair(pipeline.config, CALIBRATION_PX)
    restorer.scaling_factor /= float(restorer.encode(scene[None]).std())
    latents = restorer.encode(scene[None])
    noise = restorer.predict(latents, pipeline.prompts.positive)
    last.div_(noise.std())
    adapted = noise / noise.std()
    images = restorer.decode(restorer.one_step.x0(latents, adapted))
    ending = restorer.vae.decoder.conv_out
    ending.weight.mul_(IMAGE_STD / images.std())
    ending.bias.sub_(ending.bias)
