"""The two texts: by the text encoder, or from a seed."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_weights.sd_turbo import CONTEXT_DIM, build
from transformers import CLIPTextModel, CLIPTokenizer

from inscene.errors import VerificationError
from inscene.face2scene import prompts
from inscene.face2scene.config import Prompts
from inscene.face2scene.document import PROMPTS_FILE
from inscene.face2scene.prompts import PromptEmbeds


@pytest.fixture(scope="module")
def sd_turbo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sd-turbo")
    build(folder)
    return folder


def test_the_last_hidden_state_of_the_official_weights(sd_turbo):
    texts = Prompts(positive="oil blur", negative="blur")
    embeds = prompts.encode(sd_turbo, texts)
    encoder = CLIPTextModel.from_pretrained(sd_turbo / "text_encoder", local_files_only=True)
    stored = load_file(sd_turbo / "text_encoder" / "model.safetensors")
    state = encoder.state_dict()
    assert {f"text_model.{name.removeprefix('text_model.')}" for name in state} == stored.keys()
    start, oil, blur, end = 517, 513, 516, 518
    for embed, ids in (
        (embeds.positive, [start, oil, blur, end]),
        (embeds.negative, [start, blur, end]),
    ):
        padded = ids + [0] * (77 - len(ids))  # "!", as SD-Turbo's settings have it
        hidden = encoder(torch.tensor([padded])).last_hidden_state
        torch.testing.assert_close(embed, hidden, atol=0, rtol=0)
    assert embeds.dim == CONTEXT_DIM
    assert not embeds.positive.requires_grad


def test_the_papers_texts_fit(sd_turbo):
    """Characters are words of their own in the tiny vocabulary: they are cut at 77."""
    embeds = prompts.encode(sd_turbo, Prompts())
    assert embeds.positive.shape == (1, 77, CONTEXT_DIM)
    tokenizer = CLIPTokenizer.from_pretrained(sd_turbo / "tokenizer", local_files_only=True)
    assert tokenizer.pad_token == "!"


def test_seeded():
    one, same, other = (prompts.seeded(Prompts(seed=seed), 32) for seed in (1, 1, 2))
    assert torch.equal(one.positive, same.positive)
    assert torch.equal(one.negative, same.negative)
    assert not torch.equal(one.positive, one.negative)
    assert not torch.equal(one.positive, other.positive)
    with pytest.raises(ValueError, match="no seed"):
        prompts.seeded(Prompts(), 32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saved_and_read(tmp_path, dtype):
    embeds = prompts.seeded(Prompts(seed=5), 16).to(dtype=dtype)
    prompts.save(embeds, tmp_path)
    read = prompts.load(tmp_path)
    assert read.positive.dtype == dtype
    assert torch.equal(read.positive, embeds.positive)
    assert torch.equal(read.negative, embeds.negative)


def test_files_that_are_no_prompts(tmp_path):
    save_file({"pos": torch.zeros(1, 77, 8)}, tmp_path / PROMPTS_FILE)
    with pytest.raises(VerificationError, match="no prompt embeddings"):
        prompts.load(tmp_path)
    save_file({name: torch.zeros(1, 76, 8) for name in ("pos", "neg")}, tmp_path / PROMPTS_FILE)
    with pytest.raises(VerificationError, match="1×77×d"):
        prompts.load(tmp_path)


def test_shapes():
    with pytest.raises(ValueError, match="1×77×d"):
        PromptEmbeds(torch.zeros(1, 77, 8), torch.zeros(1, 77, 9))
