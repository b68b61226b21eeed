"""Scene packs and shared words: YAML in ``pipelines/prompts/``, or in files of the user's.

A pack holds words that fit together in any combination. What its slots are for is said at the head
of ``pipelines/prompts/packs/market-street.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from inscene.errors import RecipeError, UsageError
from inscene.recipe import RecipeSource
from inscene.shipped import shipped_folder
from inscene.suggest import did_you_mean
from inscene.synthetic.prompts.wording import Number, begins_with_article

Weight = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _clean(text: str) -> str:
    if text != " ".join(text.split()):
        raise ValueError(f"blanks at an end, or several in a row, in {text!r}")
    if not text:
        raise ValueError("there are no words in it")
    if text[-1] in ".,;:!?" or re.search(r"[.!?] ", text):
        raise ValueError(
            f"{text!r} is a part of a sentence: without a full stop or comma at its end"
        )
    if re.sub(r"\{place\}", "", text).count("{") or re.sub(r"\{place\}", "", text).count("}"):
        raise ValueError(f"{text!r}: the only word in braces is {{place}}")
    return text


Text = Annotated[str, AfterValidator(_clean)]


class Phrase(_Model):
    """Words that are used as they stand."""

    text: Text
    weight: Weight = 1.0


class Noun(_Model):
    """A noun with what belongs to it, without an article; the number gives article and verb."""

    text: Text
    number: Number
    weight: Weight = 1.0


def _phrase(entry: object) -> object:
    return {"text": entry} if isinstance(entry, str) else entry


def _noun(entry: object) -> object:
    if isinstance(entry, str):
        return {"text": entry, "number": "sg"}
    if isinstance(entry, Mapping) and "text" not in entry:
        numbers = [key for key in ("sg", "pl", "mass") if key in entry]
        if len(numbers) != 1:
            raise ValueError("a noun is a word, or one of sg, pl and mass with its words")
        rest = {key: value for key, value in entry.items() if key != numbers[0]}
        return {**rest, "text": entry[numbers[0]], "number": numbers[0]}
    return entry


def _bare(noun: Noun) -> Noun:
    if begins_with_article(noun.text):
        raise ValueError(f"{noun.text!r} begins with an article: the grammar adds it")
    return noun


def _placed(phrase: Phrase) -> Phrase:
    if phrase.text.count("{place}") != 1:
        raise ValueError(f"{phrase.text!r}: {{place}} must stand in a pose once")
    return phrase


def _not_placed(phrase: Phrase) -> Phrase:
    if "{place}" in phrase.text:
        raise ValueError(f"{phrase.text!r}: {{place}} may stand in a pose only")
    return phrase


Entry = TypeVar("Entry", Phrase, Noun)


def _different(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    texts = [entry.text for entry in entries]
    for text in texts:
        if texts.count(text) > 1:
            raise ValueError(f"{text!r} occurs twice: give it a weight instead")
    return entries


def _listed(value: object) -> object:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("a list of at least one entry is needed")
    return value


_PlainPhrase = Annotated[Phrase, BeforeValidator(_phrase), AfterValidator(_not_placed)]
_Pose = Annotated[Phrase, BeforeValidator(_phrase), AfterValidator(_placed)]
_BareNoun = Annotated[Noun, BeforeValidator(_noun), AfterValidator(_bare)]
_AsList, _Different = BeforeValidator(_listed), AfterValidator(_different)
Phrases = Annotated[tuple[_PlainPhrase, ...], _AsList, _Different]
Poses = Annotated[tuple[_Pose, ...], _AsList, _Different]
Nouns = Annotated[tuple[_BareNoun, ...], _AsList, _Different]


class Pack(_Model):
    """One kind of scene. ``name`` is the name of its file, without the ending."""

    name: str
    title: str
    weight: Weight = 1.0
    """Of the pack among the others."""
    place: Phrases
    clothing: Nouns
    pose: Poses
    footing: Nouns
    """Footwear and ground, said of full-body pictures only."""
    objects: Annotated[Nouns, Field(min_length=2)]
    """Two of them stand in a prompt."""
    atmosphere: Phrases
    surface: Nouns


class Words(_Model):
    """What all packs share."""

    gaze: Phrases
    camera: Phrases
    focus: Annotated[Phrases, Field(min_length=4)]
    """Four of them stand in a prompt."""
    finish: Phrases


def load_packs(path: Path | None = None) -> tuple[Pack, ...]:
    """The packs of a YAML file or of a folder of them, by name; the shipped ones where none is
    given.

    Raises :class:`UsageError` for a path without packs and :class:`RecipeError`, with file and
    line, for content that does not fit.
    """
    place = path or shipped_folder("pipelines") / "prompts" / "packs"
    if place.is_dir():
        files = sorted(file for file in place.iterdir() if file.suffix in (".yaml", ".yml"))
    else:
        files = [place] if place.is_file() else []
    if not files:
        raise UsageError(
            "holds no scene pack" if place.is_dir() else "there is no such file or folder",
            where=str(place),
            next_step="A pack is a YAML file, or several in a folder.",
        )
    packs = tuple(_load(file, Pack, name=file.stem) for file in files)
    names = [pack.name for pack in packs]
    for name in names:
        if names.count(name) > 1:  # x.yaml beside x.yml
            raise UsageError(f"two packs are named {name!r}", where=str(place))
    return packs


def load_words(path: Path | None = None) -> Words:
    """The shared words of a YAML file, or the shipped ones. Raises as :func:`load_packs`."""
    return _load(path or shipped_folder("pipelines") / "prompts" / "words.yaml", Words)


M = TypeVar("M", Pack, Words)


def _load(path: Path, model: type[M], **given: str) -> M:
    source = RecipeSource(path)
    for key in given.keys() & source.data.keys():
        raise RecipeError(f"unknown key {key!r}", where=source.where(key), why="The file names it.")
    try:
        return model.model_validate({**source.data, **given})
    except ValidationError as error:
        raise _as_recipe_error(error, source, model) from error


def _as_recipe_error(error: ValidationError, source: RecipeSource, model: type[M]) -> RecipeError:
    found = error.errors()
    # A misspelt key is also a missing one: its spelling is what to mend.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    keys = [key for key in first["loc"] if key in model.model_fields or not isinstance(key, str)]
    next_step = ""
    if first["type"] == "extra_forbidden":
        keys = list(first["loc"])
        what = f"unknown {'slot' if len(keys) == 1 else 'key'} {keys[-1]!r}"
        next_step = did_you_mean(str(keys[-1]), _known(model, len(keys)))
    elif first["type"] == "missing":
        what = f"the slot {str(first['loc'][-1])!r} is missing"
    else:
        what = f"{_dotted(first['loc'])}: {first['msg'].removeprefix('Value error, ')}"
    return RecipeError(what, where=source.where(*_int_or_str(keys)), next_step=next_step)


def _known(model: type[M], depth: int) -> Iterable[str]:
    if depth > 1:
        return ("text", "sg", "pl", "mass", "weight")
    return [name for name in model.model_fields if name != "name"]


def _dotted(location: Iterable[Any]) -> str:
    return ".".join(map(str, location))


def _int_or_str(keys: Iterable[Any]) -> list[int | str]:
    return [key if isinstance(key, int) else str(key) for key in keys]
