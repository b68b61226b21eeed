"""FLUX.1 [dev] and the anti-blur LoRA, tiny and random, in their official layout.

The architecture is the real one: two double and two single blocks, a CLIP of one layer, a T5 of
two, a VAE of four levels (so that 8 px are one latent, as in the official one).
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

JOINT, POOLED = 32, 16
"""Widths of T5's and CLIP's embeddings: 4096 and 768 officially."""
TRANSFORMER: dict[str, Any] = {
    "patch_size": 1,
    "in_channels": 64,
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": JOINT,
    "pooled_projection_dim": POOLED,
    "guidance_embeds": True,
    "axes_dims_rope": [4, 4, 8],
}
LORA_FILE = "FLUX-dev-lora-AntiBlur.safetensors"
SENTENCES = [
    "full-body photography of a woman in a forest with sharp leaves and wet stones",
    "a man at a quiet harbour , clear light , every texture crisp",
    "a person on a street , portrait orientation",
]
"""What T5's vocabulary is learned from."""


def write_flux(folder: Path, *, seed: int = 1) -> None:
    """All that the manifest's ``flux.1-dev`` lists, and nothing else."""
    import torch

    from inscene.quiet import quiet_diffusion

    with torch.random.fork_rng(devices=[]), quiet_diffusion():
        from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel

        torch.manual_seed(seed)
        transformer = FluxTransformer2DModel(**TRANSFORMER)
        vae = AutoencoderKL(
            block_out_channels=(4, 4, 4, 4),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=16,
            layers_per_block=1,
            norm_num_groups=1,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=0.3611,
            shift_factor=0.1159,
        )
        _write_text_encoders(folder)
        vae.save_pretrained(folder / "vae")
        FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True).save_pretrained(
            folder / "scheduler"
        )
    write_sharded(folder / "transformer", transformer, "diffusion_pytorch_model", 3)
    _write_clip_tokenizer(folder / "tokenizer")
    _write_t5_tokenizer(folder / "tokenizer_2")
    # As of FLUX.1 [dev]: the classes' names are those of the transformers of its time.
    index = {
        "_class_name": "FluxPipeline",
        "_diffusers_version": "0.30.0.dev0",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


def write_antiblur(path: Path, *, seed: int = 2, rank: int = 2) -> None:
    """A LoRA in diffusers' own naming, of two layers of the transformer."""
    import torch
    from safetensors.torch import save_file

    width = TRANSFORMER["attention_head_dim"] * TRANSFORMER["num_attention_heads"]
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for layer, inside in (
        ("transformer_blocks.0.ff.net.2", 4),
        ("single_transformer_blocks.1.proj_out", 5),
    ):
        for name, shape in (("lora_A", (rank, inside * width)), ("lora_B", (width, rank))):
            noise = torch.randn(shape, generator=generator)
            state[f"transformer.{layer}.{name}.weight"] = noise
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)


def write_sharded(folder: Path, model: Any, stem: str, shards: int) -> None:
    """A model as ``save_pretrained`` writes one that is too large for one file."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(model, "save_config"):
        model.save_config(folder)
    else:
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(folder)
    state = {name: tensor.contiguous() for name, tensor in sorted(model.state_dict().items())}
    places = {name: index % shards for index, name in enumerate(state)}
    names = [f"{stem}-{shard + 1:05}-of-{shards:05}.safetensors" for shard in range(shards)]
    for shard, file in enumerate(names):
        own = {name: tensor for name, tensor in state.items() if places[name] == shard}
        save_file(own, folder / file, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": sum(t.numel() * t.element_size() for t in state.values())},
        "weight_map": {name: names[shard] for name, shard in places.items()},
    }
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index, indent=1))


def _write_text_encoders(folder: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(_clip_vocabulary()),
            hidden_size=POOLED,
            intermediate_size=2 * POOLED,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=77,
            projection_dim=POOLED,
            bos_token_id=0,
            eos_token_id=2,  # as in the official file: the pooled vector is that of the highest id
        )
    )
    clip.save_pretrained(folder / "text_encoder")
    t5 = T5EncoderModel(
        T5Config(
            vocab_size=64,
            d_model=JOINT,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
        )
    )
    # Shared tensors are stored once; so the official files have ``shared`` only.
    kept = {name: t for name, t in t5.state_dict().items() if name != "encoder.embed_tokens.weight"}
    t5.state_dict = lambda: kept
    write_sharded(folder / "text_encoder_2", t5, "model", 2)


def _clip_vocabulary() -> dict[str, int]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    names = [*letters, *(f"{letter}</w>" for letter in letters)]
    return {name: i for i, name in enumerate([*names, "<|startoftext|>", "<|endoftext|>"])}


def _write_clip_tokenizer(folder: Path) -> None:
    """The four files of CLIP's own: a byte-level BPE, here without any merges."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(_clip_vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {
        **special,
        "add_prefix_space": False,
        "do_lower_case": True,
        "model_max_length": 77,
        "tokenizer_class": "CLIPTokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _write_t5_tokenizer(folder: Path) -> None:
    """The four files of T5's: a SentencePiece model, and the same as tokenizers has it."""
    import sentencepiece
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import Unigram

    folder.mkdir(parents=True, exist_ok=True)
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=written,
        vocab_size=48,
        model_type="unigram",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(written.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    vocabulary = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(pieces.vocab_size())]
    tokenizer = Tokenizer(Unigram(vocabulary, unk_id=2))
    tokenizer.normalizer = normalizers.Nmt()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {
        **special,
        "extra_ids": 0,
        "model_max_length": 512,
        "tokenizer_class": "T5Tokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
