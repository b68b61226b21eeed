"""Scene packs: those that are shipped hold what they must, and a mistake in a user's is found."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inscene.errors import RecipeError, UsageError
from inscene.synthetic.prompts.packs import Noun, Pack, Phrase, Words, load_packs, load_words
from inscene.synthetic.prompts.wording import listed, phrase_said_twice, with_article

PACKS, WORDS = load_packs(), load_words()
SLOTS = ("place", "clothing", "pose", "footing", "objects", "atmosphere", "surface")
AUTHORS = Path(__file__).parents[3] / "shared/data/inscene/eval_prompts.csv"

GOOD = """\
title: a test
place:
  - in a room
clothing:
  - {sg: coat, weight: 2}
pose:
  - standing {place}
footing:
  - {pl: boots}
objects:
  - chair
  - {mass: smoke}
atmosphere: [at noon]
surface:
  - {text: grain, number: sg}
"""


def entries(of: Pack | Words) -> list[Phrase | Noun]:
    values = [getattr(of, name) for name in type(of).model_fields]
    return [entry for value in values if isinstance(value, tuple) for entry in value]


def everything() -> list[Phrase | Noun]:
    return [entry for of in (*PACKS, WORDS) for entry in entries(of)]


def load(tmp_path: Path, text: str) -> Pack:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    (pack,) = load_packs(path)
    return pack


def test_enough_is_shipped() -> None:
    assert len(PACKS) >= 14
    short = [(pack.name, slot) for pack in PACKS for slot in SLOTS if len(getattr(pack, slot)) < 12]
    assert not short
    assert all(len(getattr(WORDS, slot)) >= 12 for slot in Words.model_fields)
    for slot in SLOTS:  # packs differ in everything
        texts = [entry.text for pack in PACKS for entry in getattr(pack, slot)]
        assert len(set(texts)) > 0.97 * len(texts), slot


def test_wording_is_positive() -> None:
    """A model that is told what there is not paints it."""
    negative = re.compile(
        r"\b(no|not|never|none|nothing|without|avoid|\w+n't|\w+less|blur\w*|bokeh|unsharp|hazy|"
        r"out of focus|shallow (focus|depth)|free of)\b"
    )
    assert [entry.text for entry in everything() if negative.search(entry.text.lower())] == []


def test_nobody_else_is_in_the_picture() -> None:
    """A second face could be taken for the subject's; and nothing says what the subject is."""
    people = re.compile(
        r"\b(man|men|woman|women|person|people|crowds?|child|boy|girl|he|she|his|her|him|couple|"
        r"friends?|vendors?|passers|dancers?|musicians?|statues?|portraits?|mannequins?|masks?|"
        r"beard|moustache|skirt|dress|gown|heels|make-up|sunglasses|veil)\b"
    )
    assert [entry.text for entry in everything() if people.search(entry.text.lower())] == []


def test_words_are_british_and_plain() -> None:
    american = re.compile(r"\b(colorful|color|gray|harbor|center|theater|sneakers|sweatpants)\b")
    assert [entry.text for entry in everything() if american.search(entry.text)] == []
    assert [entry.text for entry in everything() if not entry.text.isascii()] == []


@pytest.mark.skipif(not AUTHORS.is_file(), reason="the authors' CSV is not on this machine")
def test_words_are_not_the_authors() -> None:
    def phrases(text: str) -> set[str]:
        clauses = [clause.split() for clause in re.split(r"[.,:;]", text.lower())]
        return {" ".join(words[at : at + 4]) for words in clauses for at in range(len(words) - 3)}

    with AUTHORS.open(encoding="utf-8", newline="") as file:
        theirs = {row["prompt"] for row in csv.DictReader(file)}
    said = set().union(*map(phrases, theirs))
    clauses = {clause.strip().lower() for text in theirs for clause in re.split(r"[.,:;]", text)}
    for entry in everything():
        assert not phrases(entry.text) & said, entry.text
        assert entry.text.lower() not in clauses


def test_a_pack_of_the_users(tmp_path: Path) -> None:
    pack = load(tmp_path, GOOD)
    assert pack.name == "mine"
    assert pack.clothing == (Noun(text="coat", number="sg", weight=2),)
    assert [noun.number for noun in pack.objects] == ["sg", "mass"]
    assert pack.surface[0].number == "sg"
    (tmp_path / "another.yml").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("not a pack")
    assert [pack.name for pack in load_packs(tmp_path)] == ["another", "mine"]


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("place:", "plaec:"), 2, "Did you mean 'place'"),
        (("title: a test\n", "title: a test\nname: x\n"), 2, "unknown key 'name'"),
        (("atmosphere: [at noon]\n", ""), 1, "the slot 'atmosphere' is missing"),
        (("atmosphere: [at noon]", "atmosphere: []"), 13, "at least one entry"),
        (("place:\n  - in a room", "place:"), 2, "at least one entry"),
        (("  - chair\n", ""), 10, "at least 2"),
        (("weight: 2", "weight: 0"), 5, "greater than 0"),
        (("weight: 2", "weight: heavy"), 5, "valid number"),
        (("weight: 2", "weight: .inf"), 5, "finite"),
        (("weight: 2", "wieght: 2"), 5, "Did you mean 'weight'"),
        (("{sg: coat", "{sg: coat, pl: coats"), 5, "one of sg, pl and mass"),
        (("{sg: coat", "{number: dual, text: coat"), 5, "'sg', 'pl' or 'mass'"),
        (("{sg: coat", "{sg: a coat"), 5, "begins with an article"),
        (("standing {place}", "standing"), 7, "{place} must stand in a pose once"),
        (("in a room", "in a room {place}"), 3, "in a pose only"),
        (("standing {place}", "standing {place} {there}"), 7, "the only word in braces"),
        (("{pl: boots}", "{pl: boots.}"), 9, "part of a sentence"),
        (("{mass: smoke}", "{sg: chair}"), 10, "occurs twice"),
        (("[at noon]", "[at  noon]"), 13, "several in a row"),
        (("[at noon]", '[""]'), 13, "no words"),
        (("[at noon]", "[at noon"), 14, "not valid YAML"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, change, line, words) -> None:
    assert change[0] in GOOD
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, GOOD.replace(*change))
    assert words in str(caught.value)
    assert f"mine.yaml:{line}:" in str(caught.value)


def test_places_without_packs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no scene pack"):
        load_packs(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        load_packs(tmp_path / "nowhere")
    for ending in ("yaml", "yml"):
        (tmp_path / f"x.{ending}").write_text(GOOD)
    with pytest.raises(UsageError, match="two packs are named 'x'"):
        load_packs(tmp_path)


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("coat", "a coat"),
        ("old coat", "an old coat"),
        ("uniform", "a uniform"),
        ("used book", "a used book"),
        ("umbrella", "an umbrella"),
        ("hourglass", "an hourglass"),
        ("house", "a house"),
        ("one-armed bandit", "a one-armed bandit"),
        ("onion", "an onion"),
        ("European bison", "a European bison"),
        ("8-sided table", "an 8-sided table"),
        ("18 m mast", "an 18 m mast"),
        ("1920s lamp", "a 1920s lamp"),
    ],
)
def test_articles_go_by_sound(noun: str, expected: str) -> None:
    assert with_article(noun) == expected
    assert with_article(noun, "pl") == with_article(noun, "mass") == noun


def test_lists() -> None:
    assert [listed("a"), listed("ab"), listed("abc")] == ["a", "a and b", "a, b and c"]


def test_phrases_said_twice() -> None:
    assert phrase_said_twice("Between market stalls. Rows of market stalls.") == "market stalls"
    assert phrase_said_twice("A lamp on the wall, moss on the wall.") == "on the wall"
    assert phrase_said_twice("In front of the gate. In the back of the van.") is None
    assert phrase_said_twice("Old, wet wood. Wood, old wet.") is None


@given(st.lists(st.sampled_from(["red", "wall", "on", "the"]), min_size=6, max_size=12))
def test_a_phrase_is_found_wherever_it_stands(words: list[str]) -> None:
    text = f"{' '.join(words)}. Blue moon rises, {' '.join(words)} with a blue moon."
    found = phrase_said_twice(text)
    assert found is not None
    assert text.lower().count(found) > 1
