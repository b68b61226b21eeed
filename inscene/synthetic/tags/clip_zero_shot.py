"""A lighter tagger: CLIP, asked for each word of a list whether it adds to the description.

A word's score is how much likelier CLIP finds "a photo of a person, WORD" than "a photo of a
person": the softmax over the two, with CLIP's own scale. So each word is decided alone, and the
list can be changed without the others noticing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor
from torch.nn import functional as F

from inscene.errors import MachineError, RecipeError, UsageError
from inscene.quiet import quiet_diffusion
from inscene.recipe import RecipeSource
from inscene.shipped import shipped_folder
from inscene.synthetic.tags import ByteImage, Tag, best_first
from inscene.weights.model_files import not_a_model
from inscene.weights.pickles import load_pickle

WHAT = "CLIP as transformers has it"
WEIGHTS_FILE = "pytorch_model.bin"
MIN_SCORE = 0.9
"""[chosen] A word adds 0.022 to the cosine, with CLIP's scale of 100. Not calibrated: the weights
were not at hand."""
MOST = 20
"""[chosen] Tags of one image: the surest."""
# OpenAI's, in 0..1.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Vocabulary(BaseModel):
    """What is asked for; as YAML. The template's ``{}`` is the word."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")]
    neutral: Annotated[str, Field(min_length=1)]
    words: Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]
    """Heading, for people only -> words."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(word for words in self.words.values() for word in words)


def load_vocabulary(path: Path | None = None) -> Vocabulary:
    """Of a YAML file; the shipped one where none is given. Raises ``UsageError`` and
    ``RecipeError``."""
    path = path or shipped_folder("pipelines") / "prompts" / "tags.yaml"
    if not path.is_file():
        raise UsageError("there is no such file", where=str(path))
    source = RecipeSource(path)
    try:
        found = Vocabulary.model_validate(source.data)
    except ValidationError as error:
        first = error.errors()[0]
        keys = ".".join(map(str, first["loc"]))
        raise RecipeError(f"{keys}: {first['msg']}", where=str(path)) from error
    for name in found.names:
        if found.names.count(name) > 1 or not name.strip():
            raise RecipeError(f"{name!r} is there twice, or empty", where=str(path))
    return found


@dataclass(frozen=True)
class _Words:
    names: tuple[str, ...]
    embeddings: Tensor
    """words × dim, of length 1."""
    neutral: Tensor
    """dim."""


class ClipTagger:
    """``folder`` is a model of transformers with OpenAI's byte-pair tokenizer. Not for several
    threads at once.

    Raises ``MachineError`` for files that are no such model.
    """

    def __init__(
        self,
        folder: Path,
        vocabulary: Vocabulary,
        *,
        min_score: float = MIN_SCORE,
        most: int = MOST,
        batch: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self._min_score, self._most, self._batch = min_score, most, batch
        self._device = torch.device(device)
        with quiet_diffusion():
            self._model = _load(folder).to(self._device)
            texts = [vocabulary.template.replace("{}", name) for name in vocabulary.names]
            embeddings = self._texts(_tokenizer(folder), [*texts, vocabulary.neutral])
        self._words = _Words(vocabulary.names, embeddings[:-1], embeddings[-1])
        self._scale = float(self._model.logit_scale.exp())

    def tag(self, images: Sequence[ByteImage]) -> list[list[Tag]]:
        found = []
        for start in range(0, len(images), self._batch):
            for scores in self.scores(images[start : start + self._batch]).tolist():
                both = zip(self._words.names, scores, strict=True)
                tags = best_first(Tag(name, one) for name, one in both if one >= self._min_score)
                found.append(tags[: self._most])
        return found

    def scores(self, images: Sequence[ByteImage]) -> Tensor:
        """B × words, 0..1, float32 on the CPU."""
        side = self._model.config.vision_config.image_size
        pixels = torch.stack([prepare(image, side) for image in images]).to(self._device)
        with torch.inference_mode():
            seen = self._model.vision_model(pixel_values=pixels).pooler_output
            seen = F.normalize(self._model.visual_projection(seen).float(), dim=-1)
            more = seen @ self._words.embeddings.T - (seen @ self._words.neutral)[:, None]
            return (self._scale * more).sigmoid().cpu()

    def _texts(self, tokenizer: Any, texts: list[str]) -> Tensor:
        found = []
        with torch.inference_mode():
            for start in range(0, len(texts), 64):
                tokens = tokenizer(
                    texts[start : start + 64],
                    padding="max_length",
                    truncation=True,
                    max_length=self._model.config.text_config.max_position_embeddings,
                    return_tensors="pt",
                ).to(self._device)
                read = self._model.text_model(
                    input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
                ).pooler_output
                found.append(F.normalize(self._model.text_projection(read).float(), dim=-1))
        return torch.cat(found)


def _load(folder: Path) -> Any:
    from transformers import CLIPConfig, CLIPModel

    kind: Any = CLIPModel
    path = folder / WEIGHTS_FILE
    state = load_pickle(path, WHAT)
    if not isinstance(state, dict):
        raise not_a_model(path, WHAT, "It holds no tensors by name.")
    try:
        config = CLIPConfig.from_pretrained(str(folder), local_files_only=True)
        model, report = kind.from_pretrained(
            None, config=config, state_dict=state, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise not_a_model(path, WHAT, f"{(str(error).splitlines() or [''])[0]}.") from error
    for problem, found in report.items():  # constants of older versions are known, and not in it
        if found:
            raise not_a_model(path, WHAT, f"{problem}: {sorted(map(str, found))[0]}.")
    return model.float().eval().requires_grad_(False)


def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    try:
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MachineError(
            "CLIP's tokenizer cannot be loaded",
            where=str(folder),
            why=f"{(str(error).splitlines() or [type(error).__name__])[0]}.",
            next_step="Run: inscene weights verify",
        ) from error


def prepare(image: ByteImage, side: int) -> Tensor:
    """As OpenAI's transform: the shorter side to ``side`` (bicubic), then the middle square.

    3 × side × side.
    """
    height, width = image.shape[:2]
    shorter = min(height, width)
    size = side * width // shorter, side * height // shorter
    small = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    x, y = (size[0] - side) // 2, (size[1] - side) // 2
    square = np.array(small.crop((x, y, x + side, y + side)))
    pixels = torch.from_numpy(square).permute(2, 0, 1).float() / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
