"""All that is written about a dataset when it is published: the card and what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inscene.dataset.store import Store
from inscene.hub.card import card_text
from inscene.hub.croissant import FILE, croissant_text
from inscene.hub.facts import Content, gather
from inscene.hub.refuse import check_texts
from inscene.hub.rules import refused
from inscene.hub.statement import Statement


@dataclass(frozen=True)
class Description:
    card: bytes
    texts: dict[str, bytes]
    """Path in the repository -> content: what is sent with the rows."""
    real_people: bool
    """Whether it may show photographs of people: access is on request by default."""
    gated: bool
    """As the card says it."""


def describe(
    store: Store,
    rows: Mapping[str, int],
    statement: Statement,
    *,
    stated: Content | None = None,
    forgotten: int = 0,
) -> Description:
    """``rows`` by split, as they are sent; ``stated``: what a table shows that does not tell.

    Raises :class:`UsageError` where what was written holds a token or a path of this machine.
    """
    facts = gather(store, stated=stated, forgotten=forgotten).of_rows(rows)
    card = card_text(facts, statement).encode()
    texts = {FILE: croissant_text(facts, statement)}
    if error := refused(check_texts({"README.md": card, **texts}), store.root):
        raise error
    return Description(card, texts, facts.content != "synthetic", statement.is_gated(facts))
