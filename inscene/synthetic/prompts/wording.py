"""Small rules of English: articles, agreement, lists, and phrases said twice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

Number = Literal["sg", "pl", "mass"]
"""Singular, plural or uncountable."""

_SOUNDS_LIKE_YOU = ("uni", "use", "usu", "uti", "eu", "ubi")
_SOUNDS_LIKE_WON = ("one ", "one-", "once")
_SILENT_H = ("hour", "honest", "honour", "heir")
_VOWEL_NUMBERS = re.compile(r"(8\d*|11|18)\b")


def with_article(text: str, number: Number = "sg") -> str:
    """ "a", "an" or nothing before a noun: by its first sound, not by its first letter."""
    if number != "sg":
        return text
    start = text.lower()
    if start.startswith(_SOUNDS_LIKE_YOU) or start.startswith(_SOUNDS_LIKE_WON):
        return f"a {text}"
    vowel = start.startswith((*"aeiou", *_SILENT_H)) or _VOWEL_NUMBERS.match(start) is not None
    return f"{'an' if vowel else 'a'} {text}"


def is_or_are(number: Number) -> str:
    return "are" if number == "pl" else "is"


def listed(items: Sequence[str]) -> str:
    """ "a, b and c"."""
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last


def begins_with_article(text: str) -> bool:
    return text.lower().split(maxsplit=1)[0] in ("a", "an", "the")


_BREAK = re.compile(r"[.,:;]\s|\.$")
_LITTLE = """
a an and are as at be behind beside between both by for from front has in into is it its near next
of off on one or out over side that the their them this through to towards two under up with while
"""
_LITTLE_WORDS = frozenset(_LITTLE.split())


def phrase_said_twice(text: str) -> str | None:
    """The first phrase that occurs twice, or None.

    A phrase is two neighbouring words that both say something ("market stalls"), or three of which
    one does ("on the wall"). No phrase goes across a comma or a full stop.
    """
    words: list[str] = []
    for clause in _BREAK.split(text.lower()):
        words += clause.split()
        words.append("|")
    # What a repeated phrase says is made of repeated words: few places are worth a look.
    repeated = {word for word, count in Counter(words).items() if count > 1}
    repeated -= _LITTLE_WORDS
    repeated.discard("|")
    seen: dict[tuple[str, ...], int] = {}
    for place, word in enumerate(words):
        if word not in repeated:
            continue
        pair = (place,) if words[place + 1] in repeated else ()
        spans = [(start, start + 2) for start in pair]
        spans += [(start, start + 3) for start in range(max(place - 2, 0), place + 1)]
        for start, end in spans:
            phrase = tuple(words[start:end])
            if "|" not in phrase and seen.setdefault(phrase, start) != start:
                return " ".join(phrase)
    return None
