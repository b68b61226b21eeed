"""The grammar: prompts that read well, and that depend on nothing but their key."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.errors import UsageError
from inscene.synthetic.prompts.gender import load_gender_map
from inscene.synthetic.prompts.grammar import Grammar, Prompt
from inscene.synthetic.prompts.packs import Noun, Pack, Phrase, Words, load_packs, load_words

PACKS, WORDS = load_packs(), load_words()


def many(count: int, subject: str = "person", seed: int = 0, **options: float) -> list[Prompt]:
    grammar = Grammar(PACKS, WORDS, **options)
    keys = [f"{number:05}" for number in range(count // 4)]
    wanted = [(f"{file}.png", number) for file in range(2) for number in range(2)]
    found = [grammar.prompts(seed, key, wanted, subject) for key in keys]  # type: ignore[arg-type]
    return [prompt for prompts in found for prompt in prompts.values()]


SAMPLE = many(4000, full_body_ratio=0.7)


def phrases(*texts: str) -> tuple[Phrase, ...]:
    return tuple(Phrase(text=text) for text in texts)


def nouns(*texts: str, number: str = "sg") -> tuple[Noun, ...]:
    return tuple(Noun(text=text, number=number) for text in texts)  # type: ignore[arg-type]


def tiny(**changes: object) -> Grammar:
    slots: dict[str, object] = {
        "place": phrases("in a room"),
        "clothing": nouns("orange coat"),
        "pose": phrases("standing {place}, with a cup"),
        "footing": nouns("boots on stone", number="pl"),
        "objects": nouns("chairs", "old lamps", "tables", number="pl"),
        "atmosphere": phrases("at noon"),
        "surface": nouns("oak", number="mass"),
    }
    words = Words(
        gaze=phrases("facing the camera"),
        camera=phrases("from the front"),
        focus=phrases("sharp edges", "fine detail", "deep focus", "contrast"),
        finish=phrases("crisp"),
    )
    return Grammar((Pack(name="tiny", title="", **{**slots, **changes}),), words)  # type: ignore[arg-type]


def test_a_prompt_is_frozen() -> None:
    """Draws and sentences are part of every data set that was made: a change is a new FRAMES."""
    (prompt,) = tiny().prompts(3, "00289", [("11.png", 0)], "woman").values()
    assert prompt.text == (
        "A full-body photograph of a woman in an orange coat, standing in a room, with a cup, seen "
        "from head to toe in boots on stone, facing the camera. Taken as a tall picture from the "
        "front: deep focus, fine detail, sharp edges and contrast. Farther back, old lamps and "
        "chairs come into view, at noon. The oak is crisp."
    )
    assert prompt.slots["pose"] == "standing, with a cup"
    assert (prompt.shot, prompt.pack) == ("full-body", "tiny")


def test_it_is_the_same_in_every_process() -> None:
    code = (
        "from inscene.synthetic.prompts.grammar import Grammar\n"
        "from inscene.synthetic.prompts.packs import load_packs, load_words\n"
        "made = Grammar(load_packs(), load_words()).prompts(5, 'x', [('b.png', 1), ('a.png', 0)])\n"
        "print(sorted((key, prompt.text, prompt.grammar) for key, prompt in made.items()))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    made = Grammar(PACKS, WORDS).prompts(5, "x", [("a.png", 0), ("b.png", 1)])
    here = sorted((key, prompt.text, prompt.grammar) for key, prompt in made.items())
    assert said == {f"{here}\n".encode()}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.text(min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_order_is_of_no_matter(seed: int, identity: str, shuffling: random.Random) -> None:
    grammar = Grammar(PACKS, WORDS, full_body_ratio=0.5)
    wanted = [(f"{file}.png", number) for file in range(4) for number in range(3)]
    made = grammar.prompts(seed, identity, wanted)
    shuffled = wanted + wanted[:2]
    shuffling.shuffle(shuffled)
    assert grammar.prompts(seed, identity, shuffled) == made
    assert len({prompt.scene for prompt in made.values()}) == len(wanted)


def test_everything_in_the_key_counts() -> None:
    grammar = Grammar(PACKS, WORDS)
    keys = itertools.product((0, 1), ("a", "b"), ("1.png", "2.png"), (0, 1))
    made = {
        grammar.prompts(seed, who, [(file, number)])[file, number].text
        for seed, who, file, number in keys
    }
    assert len(made) == 16
    one, other = (grammar.prompts(0, "a", [(f"1.{end}", 0)]) for end in ("png", "webp"))
    assert [prompt.text for prompt in one.values()] == [prompt.text for prompt in other.values()]


def test_other_references_change_nothing() -> None:
    grammar = Grammar(PACKS, WORDS)
    alone = grammar.prompts(0, "a", [("5.png", 0)])
    among = grammar.prompts(
        0, "a", [(f"{file}.png", number) for file in range(9) for number in (0, 1)]
    )
    assert among["5.png", 0] == alone["5.png", 0]


def test_scenes_of_one_identity_differ_while_there_are_any() -> None:
    """Three objects make three pairs: three scenes."""
    wanted = [(f"{file}.png", 0) for file in range(4)]
    made = tiny().prompts(0, "a", wanted[:3])
    assert len({prompt.slots["objects"] for prompt in made.values()}) == 3
    with pytest.raises(UsageError, match="no prompt after the first 3"):
        tiny().prompts(0, "a", wanted)


def test_prompts_read_as_english() -> None:
    for prompt in SAMPLE:
        text = prompt.text
        assert text.count(". ") == 3, text
        assert text.endswith("."), text
        for sentence in text.split(". "):
            assert sentence[0].isupper(), text
        assert not re.search(r"[{}]|  | ,|\.\.|,,|,\.", text), text
        assert not re.search(r"\ba (?!uni|use|one)[aeiou]", text), text
        assert not re.search(r"\ban [^aeiou]", text), text
        assert not re.search(r"\b(\w+) \1\b", text), text
        assert not re.search(r"\b(a|an|the) (a|an|the)\b", text), text


def test_verbs_agree() -> None:
    numbers = {noun.text: noun.number for pack in PACKS for noun in (*pack.surface, *pack.objects)}
    seen: Counter[tuple[str, str]] = Counter()
    for prompt in SAMPLE:
        _, _, background, detail = prompt.text.split(". ")
        surface = prompt.slots["surface"]
        verb = detail.removeprefix(f"The {surface} ").split()[0]
        seen[numbers[surface], verb] += 1
        there = re.match(r"Behind the person there (\w+) (?:an? )?(.*?), as well as", background)
        if there:
            seen[numbers[there[2]], there[1]] += 1
    assert set(seen) == {("sg", "is"), ("mass", "is"), ("pl", "are")}
    assert min(seen.values()) > 100


def test_no_phrase_is_said_in_two_sentences() -> None:
    """606 of the authors' 1,329 prompts do so."""
    for prompt in SAMPLE:
        said: list[set[str]] = []
        for sentence in prompt.text.lower().rstrip(".").split(". "):
            clauses = [re.findall(r"[\w'/-]+", clause) for clause in re.split(r"[,:]", sentence)]
            windows = [words[at : at + 3] for words in clauses for at in range(len(words) - 2)]
            said.append({" ".join(words) for words in windows if max(map(len, words)) > 3})
        for one, other in itertools.combinations(said, 2):
            assert not one & other, prompt.text


def test_the_first_sentence_is_short_enough_for_clip() -> None:
    """77 tokens. Measured with CLIP's own vocabulary: 51 to 74, at 45 to 71 words and marks."""
    first = [prompt.text.split(". ")[0] for prompt in SAMPLE]
    assert max(len(re.findall(r"[\w']+|[,-]", sentence)) for sentence in first) <= 72
    words = [len(prompt.text.split()) for prompt in SAMPLE]
    assert 95 < min(words) <= max(words) < 160  # T5 reads 512 tokens


def test_shots() -> None:
    assert {prompt.shot for prompt in many(200)} == {"full-body"}
    assert {prompt.shot for prompt in many(200, full_body_ratio=0)} == {"mid-up"}
    half = Counter(prompt.shot for prompt in many(2000, full_body_ratio=0.5))
    assert abs(half["full-body"] - 1000) < 100
    for prompt in SAMPLE:
        full = prompt.shot == "full-body"
        assert full == ("footing" in prompt.slots)
        assert full == ("from head to toe" in prompt.text)
        assert full == prompt.text.startswith("A full-body photograph")


def test_one_pack_a_prompt() -> None:
    packs = {pack.name: pack for pack in PACKS}
    assert {prompt.pack for prompt in SAMPLE} == set(packs)
    for prompt in SAMPLE:
        own = packs[prompt.pack]
        for slot in ("place", "clothing", "footing", "atmosphere", "surface"):
            if slot in prompt.slots:
                assert prompt.slots[slot] in {entry.text for entry in getattr(own, slot)}
                assert prompt.slots[slot] in prompt.text
        assert set(prompt.slots["objects"].split("; ")) <= {noun.text for noun in own.objects}
        assert len(set(prompt.slots["focus"].split("; "))) == 4


def test_packs_mix_as_often_as_asked() -> None:
    packs = {pack.name: pack for pack in PACKS}

    def strange(prompts: list[Prompt]) -> float:
        words = {name: {noun.text for noun in pack.clothing} for name, pack in packs.items()}
        return sum(prompt.slots["clothing"] not in words[prompt.pack] for prompt in prompts) / len(
            prompts
        )

    assert strange(many(400, cross_pack=1)) == 1
    assert abs(strange(many(2000, cross_pack=0.25)) - 0.25) < 0.05
    places = {name: {phrase.text for phrase in pack.place} for name, pack in packs.items()}
    assert all(prompt.slots["place"] in places[prompt.pack] for prompt in many(400, cross_pack=1))


def test_weights_count() -> None:
    picks = Counter(prompt.slots["gaze"] for prompt in SAMPLE)
    total = sum(phrase.weight for phrase in WORDS.gaze)
    for phrase in WORDS.gaze:
        expected = len(SAMPLE) * phrase.weight / total
        assert abs(picks[phrase.text] - expected) < 5 * expected**0.5, phrase.text


def test_nobody_is_given_a_gender() -> None:
    gendered = re.compile(r"\b(man|men|woman|women|he|she|his|her|him|male|female)\b", re.I)
    assert not any(gendered.search(prompt.text) for prompt in SAMPLE)
    woman = many(80, "woman", full_body_ratio=0.5)
    assert all(" of a woman in " in prompt.text for prompt in woman)
    assert all(prompt.slots["subject"] == "woman" for prompt in woman)
    assert [prompt.text.replace("woman", "person") for prompt in woman] == [
        prompt.text for prompt in many(80, full_body_ratio=0.5)
    ]


def test_the_version_follows_every_word_and_ratio() -> None:
    versions = {
        tiny().version,
        tiny(surface=nouns("oak")).version,
        tiny(weight=2).version,
        tiny(place=(Phrase(text="in a room", weight=2),)).version,
        Grammar(tiny().packs, tiny().words, full_body_ratio=0.5).version,
        Grammar(tiny().packs, tiny().words, cross_pack=0.5).version,
    }
    assert len(versions) == 6
    assert tiny().version == tiny().version
    assert SAMPLE[0].grammar == Grammar(PACKS, WORDS, full_body_ratio=0.7).version


def test_bad_settings() -> None:
    with pytest.raises(UsageError, match="full_body_ratio"):
        Grammar(PACKS, WORDS, full_body_ratio=1.5)
    with pytest.raises(UsageError, match="cross_pack"):
        Grammar(PACKS, WORDS, cross_pack=float("nan"))
    with pytest.raises(UsageError, match="at least one"):
        Grammar((), WORDS)


def test_gender_map(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_bytes(b'\xef\xbb\xbf{"00001": "Woman", "00002": "man", "00003": "Person"}')
    named = load_gender_map(path)
    assert [named.subject_of(f"0000{n}") for n in (1, 2, 3)] == ["woman", "man", "person"]
    with pytest.raises(UsageError, match="does not name '00004', as one of 2"):
        named.require(["00001", "00005", "00004"])
    with pytest.raises(UsageError, match=r"Man, Woman or Person"):
        named.subject_of("1")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('{\n"1": "Man",\n"2": "Wman"}', 3, "Did you mean 'Woman'"),
        ('{\n"1": "Man",\n"1": "Woman"}', 3, "'1' occurs twice"),
        ('{\n"1": 1}', 2, "is called 1"),
        ('{\n"1": "Man",\n}', 3, "not valid JSON"),
        ('["Man"]', 0, "no map of identities"),
    ],
)
def test_mistakes_in_a_gender_map(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = tmp_path / "map.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        load_gender_map(path)
    assert caught.value.where == f"{path}:{line}" if line else str(path)


def test_shipped_words_make_different_prompts() -> None:
    digests = {hashlib.sha256(prompt.text.encode()).hexdigest() for prompt in SAMPLE}
    assert len(digests) == len(SAMPLE)
