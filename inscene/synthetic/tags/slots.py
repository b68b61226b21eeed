"""Tags without a model: the things that a prompt of the grammar asked for.

They say what was asked, not what is to be seen: a generator may leave a thing out.
"""

from __future__ import annotations

import json
import re

SLOTS = ("subject", "pack", "place", "clothing", "footing", "objects", "atmosphere", "surface")
"""In this order. The look, the camera and the finish are no things."""

_PLACING = (
    "in front of|next to|at|before|behind|beneath|beside|between|by|in|near|on|outside|under|with"
)
_LEADING = re.compile(rf"^(?:(?:{_PLACING}) )?(?:(?:a|an|the) )?")
_REST = re.compile(
    rf" (?:{_PLACING}|above|after|against|along|among|around|as|behind|below|deep in|from|inside"
    r"|into|over|that|through|hung|laid|lined|shaded|tied|worn|wound)(?: .*)?$"
)
_GARMENTS = re.compile(" and | over | under ")
_COLOURS = {"beige", "black", "blue", "brown", "cream", "green", "grey", "red", "white", "yellow"}
"""What remains of "in white and blue" when garments are told apart by "and"."""


def words_of(slots: str | None) -> list[str] | None:
    """The things in the column ``slots``, each once: its JSON -> "velvet sofa", "soft daylight".

    None where the prompt was not drawn by the grammar (a CSV's is free text).
    """
    drawn = json.loads(slots) if slots else {}
    if not isinstance(drawn, dict):
        return None
    found = [word for slot in SLOTS if isinstance(drawn.get(slot), str) for word in _things(
        slot, drawn[slot]
    )]  # fmt: skip
    return list(dict.fromkeys(found)) or None


def _things(slot: str, text: str) -> list[str]:
    if slot == "pack":  # the name of its file
        return [text.replace("-", " ")]
    # Several picks of a slot are joined by "; "; one pick of clothing names several garments.
    parts = text.split("; ")
    if slot == "clothing":
        parts = [garment for part in parts for garment in _GARMENTS.split(part)]
    return [name for name in map(_name, parts) if name and name not in _COLOURS]


def _name(phrase: str) -> str:
    """A phrase without its preposition and article, and without what follows the thing itself."""
    return _REST.sub("", _LEADING.sub("", phrase))
