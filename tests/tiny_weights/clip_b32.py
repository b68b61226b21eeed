"""OpenAI's CLIP as transformers has it, tiny and random: the files that the manifest lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_weights.flux import _clip_vocabulary, _write_clip_tokenizer

IMAGE_PX = 32


def write_clip(folder: Path, *, seed: int = 3) -> None:
    import torch
    from transformers import CLIPConfig, CLIPModel

    _write_clip_tokenizer(folder)
    words = _clip_vocabulary()
    tower: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    # The pooled text is that of the highest id, as in the official file.
    text = {
        **tower,
        "vocab_size": len(words),
        "max_position_embeddings": 77,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    config = CLIPConfig(
        text_config=text,
        vision_config={**tower, "image_size": IMAGE_PX, "patch_size": 16},
        projection_dim=8,
        architectures=["CLIPModel"],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIPModel(config)
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:  # else all images are alike
                torch.nn.init.normal_(parameter, std=0.15 if "embedding" in name else 0.3)
            elif "embedding" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    config.save_pretrained(folder)
    # The official file is of 2021, when positions were stored too.
    positions = {
        "text_model.embeddings.position_ids": torch.arange(77)[None],
        "vision_model.embeddings.position_ids": torch.arange(5)[None],
    }
    torch.save({**model.state_dict(), **positions}, folder / "pytorch_model.bin")
