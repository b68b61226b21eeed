"""FLUX.1 [dev], InfuseNet and the anti-blur LoRA, from their verified files.

Two pipelines of diffusers' share nothing: one only encodes prompts, one only samples. So the text
encoders can go when the prompts are encoded, and no LoRA can touch them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inscene.errors import MachineError
from inscene.quiet import quiet_diffusion
from inscene.synthetic.generate.memory import is_out_of_memory
from inscene.synthetic.generate.quantise import quantise
from inscene.synthetic.generate.settings import FLUX, INFINITE_YOU, LORA, FluxSettings
from inscene.weights.locate import find_file, find_folder
from inscene.weights.model_files import VERIFY, not_a_model

ADAPTER = "antiblur"

_FROM_FILES: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
"""Nothing is downloaded, and nothing unpickled."""


def load_text_encoders(settings: FluxSettings) -> Any:
    """A ``FluxPipeline`` with CLIP, T5 and their tokenizers only, on the CPU."""
    folder = find_folder(FLUX)
    with quiet_diffusion():
        from diffusers import FluxPipeline

        with _broken_files(folder):
            return FluxPipeline.from_pretrained(
                str(folder),
                transformer=None,
                vae=None,
                scheduler=None,
                torch_dtype=dtype_of(settings),
                **_FROM_FILES,
            )


def load_sampler(settings: FluxSettings, *, quantised: bool = False) -> Any:
    """A ``FluxControlNetPipeline`` with transformer, InfuseNet, VAE and scheduler, on the CPU."""
    folder = find_folder(FLUX)
    infinite_you = find_folder(INFINITE_YOU) / "InfuseNetModel"
    with quiet_diffusion():
        from diffusers import FluxControlNetPipeline, FluxTransformer2DModel

        from inscene.synthetic.generate.infusenet import InfuseNet

        infusenet = _loaded(InfuseNet, infinite_you, settings)
        transformer = _loaded(FluxTransformer2DModel, folder / "transformer", settings)
        with _broken_files(folder):
            pipeline = FluxControlNetPipeline.from_pretrained(
                str(folder),
                controlnet=infusenet,
                transformer=transformer,
                text_encoder=None,
                text_encoder_2=None,
                tokenizer=None,
                tokenizer_2=None,
                torch_dtype=dtype_of(settings),
                **_FROM_FILES,
            )
        if settings.lora_scale:
            _attach_lora(pipeline, settings.lora_scale)
        if quantised:
            # The LoRA first: it adds to weights, which are not to be added to afterwards.
            if settings.lora_scale:
                pipeline.transformer.fuse_lora()
                pipeline.transformer.unload_lora()
            for model in (pipeline.transformer, infusenet):
                quantise(model, settings.quantisation)
    for model in pipeline.components.values():
        if isinstance(model, nn.Module):
            model.requires_grad_(False)
    # One image at a time: else a batch of 8 needs more memory to decode than to sample.
    pipeline.vae.enable_slicing()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _attach_lora(pipeline: Any, scale: float) -> None:
    """To the transformer only. Raises ``MachineError`` for a file that is none for it."""
    file = find_file(*LORA)
    what = "a LoRA of FLUX's transformer"
    try:
        state, alphas = pipeline.lora_state_dict(
            str(file.parent), weight_name=file.name, return_alphas=True, **_FROM_FILES
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise not_a_model(file, what, f"{error}.") from error
    others = sorted(name for name in state if not name.startswith("transformer."))
    if others or not any("lora" in name for name in state):
        why = f"It has {others[0]!r}." if others else "It has no LoRA layers."
        raise not_a_model(file, what, why)
    try:
        pipeline.transformer.load_lora_adapter(state, network_alphas=alphas, adapter_name=ADAPTER)
    except (ValueError, KeyError, RuntimeError) as error:
        raise not_a_model(file, what, f"{str(error).splitlines()[0]}.") from error
    pipeline.transformer.set_adapters([ADAPTER], [scale])


def _loaded(kind: Any, folder: Path, settings: FluxSettings) -> Any:
    """A model of a folder, all of its weights from there: diffusers loads one that lacks some, and
    says so in a log at most. What a folder has more is not looked at."""
    with _broken_files(folder):
        model, report = kind.from_pretrained(
            str(folder), torch_dtype=dtype_of(settings), output_loading_info=True, **_FROM_FILES
        )
        lacking = {name for name, tensor in model.state_dict().items() if tensor.is_meta}
        lacking.update(report["missing_keys"])
        if lacking:
            raise ValueError(f"They lack {min(lacking)!r}.")
    return model


@contextmanager
def _broken_files(folder: Path) -> Iterator[None]:
    """What loading says of a folder that is not as it should be becomes one error of ours."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise MachineError(
            "these models cannot be loaded", where=str(folder), why=why, next_step=VERIFY
        ) from error


def dtype_of(settings: FluxSettings) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, settings.dtype)
    return dtype
