"""``tag``: what is to be seen in a scene, in words."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from inscene.engine.rows import Call, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext
from inscene.errors import RecipeError
from inscene.recipe import content_hash
from inscene.synthetic.tags import Tagger
from inscene.synthetic.tags.settings import (
    CLIP,
    OFFICIAL,
    RAM_PLUS,
    RAM_PLUS_TAGS,
    TAG_LIST,
    THRESHOLDS,
    RamPlusConfig,
)
from inscene.synthetic.tags.slots import SLOTS, words_of
from inscene.weights.locate import find_file, find_folder, hash_of, hashes_of

Score = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class TagScenes(Step):
    """Write the column ``tags``: names of things, the surest first. No scene is dropped."""

    tagger: Literal["ram_plus", "clip", "slots"] = "ram_plus"
    """ram_plus looks (the paper's section 6.1); clip does so with less; slots takes the words that
    the grammar put into the prompt, and looks at nothing."""
    min_score: Score | None = None
    """Smallest score of a tag. Default: of ram_plus each class' own threshold, of clip 0.9."""
    vocabulary: str | None = None
    """A YAML file of words for clip, in place of the shipped one."""
    batch: Annotated[int, Field(ge=1, le=256)] = 1
    """Images at once. 1 gives the same scores whatever else is in work; more differ by rounding."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of ram_plus."""
    device: Literal["auto", "cpu"] = "auto"
    """auto: a GPU where there is one."""

    def __post_init__(self) -> None:
        if self.vocabulary is not None and self.tagger != "clip":
            raise RecipeError(f"{self.tagger} has no vocabulary", why="It is of the tagger clip.")
        if self.min_score is not None and self.tagger == "slots":
            raise RecipeError("slots has no scores", next_step="Leave out min_score.")
        if self.dtype != "float32" and self.tagger != "ram_plus":
            raise RecipeError(f"{self.tagger} has no dtype", why="It is of the tagger ram_plus.")
        if self.vocabulary is not None:  # a worker may have another working directory
            place = str(Path(self.vocabulary).expanduser().absolute())
            object.__setattr__(self, "vocabulary", place)

    @property
    def on_gpu(self) -> bool:
        return self.device == "auto" and self.tagger != "slots"

    @property
    def weights(self) -> tuple[str, ...]:
        """All that it needs, by their names in ``manifests/weights.yaml``."""
        return {"ram_plus": (RAM_PLUS[0], RAM_PLUS_TAGS), "clip": (CLIP,), "slots": ()}[self.tagger]

    @property
    def sizes(self) -> RamPlusConfig:
        return OFFICIAL

    def fingerprint(self) -> dict[str, Any]:
        if self.tagger == "slots":
            return {"tagger": "slots", "slots": list(SLOTS)}
        facts = {"tagger": self.tagger, "min_score": self.min_score, "batch": self.batch}
        if self.tagger == "ram_plus":
            lists = {name: hash_of(RAM_PLUS_TAGS, name) for name in (TAG_LIST, THRESHOLDS)}
            return {**facts, "dtype": self.dtype, "weights": hash_of(*RAM_PLUS), "lists": lists}
        from inscene.synthetic.tags.clip_zero_shot import MIN_SCORE, MOST

        facts["min_score"] = MIN_SCORE if self.min_score is None else self.min_score
        asked = content_hash(self._vocabulary().model_dump(mode="json"))
        return {**facts, "most": MOST, "weights": hashes_of(CLIP), "vocabulary": asked}

    def setup(self, context: StepContext) -> Call:
        if self.tagger == "slots":
            return row_by_row(_take_words)
        tagger = _opened(self, content_hash(self.fingerprint()))

        def tag(rows: Sequence[Row]) -> list[Outcome]:
            images = [row.pixels for row in rows if row.pixels is not None]
            assert len(images) == len(rows), "decode comes first"
            for row, tags in zip(rows, tagger.tag(images), strict=True):
                row.columns["tags"] = [one.name for one in tags]
            return [Keep((row,)) for row in rows]

        return tag

    def open_tagger(self) -> Tagger:
        """Load it. Raises ``MachineError`` for weights or packages that are not here."""
        from inscene.synthetic.generate.memory import find_device

        device = find_device(None if self.device == "auto" else self.device)
        if self.tagger == "clip":
            from inscene.synthetic.tags.clip_zero_shot import MIN_SCORE, ClipTagger

            return ClipTagger(
                find_folder(CLIP),
                self._vocabulary(),
                min_score=MIN_SCORE if self.min_score is None else self.min_score,
                batch=self.batch,
                device=device,
            )
        import torch

        from inscene.synthetic.tags.ram_plus import load_ram_plus
        from inscene.synthetic.tags.ram_plus_tagger import RamPlusTagger, read_labels

        labels = read_labels(
            find_file(RAM_PLUS_TAGS, TAG_LIST),
            find_file(RAM_PLUS_TAGS, THRESHOLDS),
            self.sizes.classes,
        )
        network = load_ram_plus(find_file(*RAM_PLUS), self.sizes)
        network.to(device=device, dtype=getattr(torch, self.dtype))
        return RamPlusTagger(network, labels, min_score=self.min_score, batch=self.batch)

    def _vocabulary(self) -> Any:
        from inscene.synthetic.tags.clip_zero_shot import load_vocabulary

        return load_vocabulary(Path(self.vocabulary) if self.vocabulary else None)


@functools.lru_cache(maxsize=1)
def _opened(step: TagScenes, facts: str) -> Tagger:
    """Once a process; ``facts`` tell weights apart."""
    return step.open_tagger()


def _take_words(row: Row) -> Outcome:
    row.columns["tags"] = words_of(row.columns.get("slots"))
    return Keep((row,))
