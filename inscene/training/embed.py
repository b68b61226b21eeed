"""A trained model becomes the one that ships: half the size, with what its training needs."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from inscene.errors import UsageError
from inscene.face2scene import embedded
from inscene.face2scene.document import is_checkpoint
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.training.run_folder import LOG, RUN

CARD = "README.md"


def embed(
    model: str | Path,
    runs: Mapping[str, str | Path],
    recipes: Sequence[str | Path],
    *,
    folder: Path = embedded.FOLDER,
) -> None:
    """Write ``model`` into ``folder`` with weights in float16; the card that is there stays.

    ``runs``: a word each, such as ``restorer``, and the folder of the run. Beside the model there
    are then ``training/WORD.json``, what decides the run's result, with its seed and versions,
    ``training/WORD.jsonl``, its log, and the ``recipes``, files as they were given to
    ``inscene train``. Of absolute paths only the last two parts are kept: the others say something
    of a machine.

    Raises ``UsageError`` for a run that is none, for a model of another number of tokens, and where
    ``folder`` holds anything else.
    """
    pipeline = Face2ScenePipeline.from_pretrained(model)
    if pipeline.config.tokens != embedded.TOKENS:
        raise UsageError(
            f"what ships has {embedded.TOKENS} degradation tokens, this one "
            f"{pipeline.config.tokens}",
            where=str(model),
        )
    facts = {word: _facts(Path(run)) for word, run in runs.items()}
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if there - {CARD} and not is_checkpoint(folder):
        raise UsageError("there is something else, and it is not overwritten", where=str(folder))

    def training(inside: Path) -> None:
        for word, (stated, log) in facts.items():
            text = json.dumps(stated, indent=1, sort_keys=True) + "\n"
            (inside / f"{word}.json").write_text(text, encoding="utf-8")
            (inside / f"{word}.jsonl").write_bytes(log)
        for recipe in map(Path, recipes):
            shutil.copyfile(recipe, inside / recipe.name)

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        fresh, old = Path(temporary) / "new", Path(temporary) / "old"
        pipeline.save_pretrained(fresh, training=training, dtype=torch.float16)
        if CARD in there:
            shutil.copyfile(folder / CARD, fresh / CARD)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)


def _facts(run: Path) -> tuple[Any, bytes]:
    try:
        return _without_places(json.loads((run / RUN).read_bytes())), (run / LOG).read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError("is no run of inscene train", where=str(run), why=f"{error}") from error


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_places(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [_without_places(inside) for inside in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return "/".join(Path(value).parts[-2:])
    return value
