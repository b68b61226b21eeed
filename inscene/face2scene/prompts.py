"""The two fixed texts as the UNet sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from inscene.errors import VerificationError
from inscene.face2scene.config import Prompts
from inscene.face2scene.document import PROMPTS_FILE

LENGTH = 77
"""Tokens of a text, padded: CLIP's own."""


@dataclass(frozen=True)
class PromptEmbeds:
    positive: torch.Tensor
    """1×77×d."""
    negative: torch.Tensor
    """1×77×d."""

    def __post_init__(self) -> None:
        shapes = tuple(self.positive.shape), tuple(self.negative.shape)
        if shapes[0] != shapes[1] or shapes[0][:2] != (1, LENGTH) or len(shapes[0]) != 3:
            raise ValueError(f"two embeddings of 1×{LENGTH}×d are needed, got {shapes}")

    @property
    def dim(self) -> int:
        return self.positive.shape[2]

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> PromptEmbeds:
        def moved(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(device=device or tensor.device, dtype=dtype or tensor.dtype)

        return PromptEmbeds(moved(self.positive), moved(self.negative))


@torch.no_grad()
def encode(folder: Path, prompts: Prompts) -> PromptEmbeds:
    """By the tokenizer and the text encoder of the base model in ``folder``: its last hidden
    state, in float32 [S3Diff, src/s3diff.py]. Only files of the folder are read."""
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    encoder = CLIPTextModel.from_pretrained(
        folder / "text_encoder",
        local_files_only=True,
        use_safetensors=True,
        dtype=torch.float32,
    )  # in evaluation mode

    def embed(text: str) -> torch.Tensor:
        ids = tokenizer(
            text, max_length=LENGTH, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        hidden: torch.Tensor = encoder(ids).last_hidden_state
        return hidden.clone()

    return PromptEmbeds(embed(prompts.positive), embed(prompts.negative))


def seeded(prompts: Prompts, dim: int) -> PromptEmbeds:
    """Standard normal numbers from the prompts' seed, for families without a text encoder: as
    large as what a layer norm gives, which is the text encoder's last layer."""
    if prompts.seed is None:
        raise ValueError("these prompts have no seed: they are encoded by the base's text encoder")
    generator = torch.Generator().manual_seed(prompts.seed)
    draw: Callable[[], torch.Tensor] = lambda: torch.randn(1, LENGTH, dim, generator=generator)  # noqa: E731
    return PromptEmbeds(draw(), draw())


def save(prompts: PromptEmbeds, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"pos": prompts.positive.contiguous(), "neg": prompts.negative.contiguous()}
    save_file(tensors, folder / PROMPTS_FILE)


def load(folder: Path) -> PromptEmbeds:
    """Raises ``VerificationError`` for a file that does not have the two of them."""
    tensors = load_file(folder / PROMPTS_FILE)
    try:
        return PromptEmbeds(tensors["pos"], tensors["neg"])
    except (KeyError, ValueError) as error:
        raise VerificationError(
            "these are no prompt embeddings", where=str(folder / PROMPTS_FILE), why=f"{error!r}."
        ) from error
