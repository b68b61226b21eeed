"""What only the publisher can say; the rest of a card comes from the data."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from inscene.errors import UsageError
from inscene.hub.facts import Content, DatasetFacts
from inscene.hub.patterns import has_local_path, has_secret
from inscene.hub.rules import Refusal

SYNTHETIC_LICENCE = "cc-by-nc-4.0"
"""That of InfiniteYou's weights, which made the scenes; FLUX.1 [dev] claims no outputs."""
PER_IMAGE = "per-image"
_HUB_LICENCES = {
    "apache-2.0", "mit", "unlicense", "pddl", "odc-by", "odbl", "cc", "cc0-1.0", "cc-by-2.0",
    "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0",
    "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-permissive-2.0",
    "cdla-sharing-1.0", "openrail", "openrail++", "gpl-3.0", "agpl-3.0", "bsd-3-clause",
    "bsd-2-clause", "afl-3.0",
}  # fmt: skip
_CONTACT = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|https?://\S+")


@dataclass(frozen=True)
class Statement:
    """Raises :class:`UsageError` for a contact that nobody can write to."""

    repo: str
    contact: str
    """Address or page for people who want to be taken out."""
    licence: str | None = None
    """Of the dataset as a whole, as the Hub writes it. None: what its rows say."""
    title: str | None = None
    citation: str | None = None
    """BibTeX beside the dataset's own."""
    gated: bool | None = None
    """None: as :func:`gated_by_default`."""
    waived: tuple[Refusal, ...] = field(default=())
    """What flags let through."""

    def __post_init__(self) -> None:
        if not _CONTACT.fullmatch(self.contact.strip()):
            raise UsageError(
                "a way to reach you is needed" if not self.contact else "reaches nobody",
                where=f"--contact {self.contact}".strip(),
                why="People who are in the data must be able to ask to be taken out.",
                next_step="Give an e-mail address, or the address of a page: --contact ME@HOME.ORG",
            )
        for text in (self.contact, self.licence, self.title, self.citation):
            if text and (has_secret(text) or has_local_path(text)):
                raise UsageError(
                    "what you say for the card holds a token or a path of this machine",
                    next_step="Take it out.",
                )

    @property
    def name(self) -> str:
        return self.title or self.repo.rpartition("/")[2]

    def is_gated(self, facts: DatasetFacts) -> bool:
        return gated_by_default(facts.content) if self.gated is None else self.gated


def gated_by_default(content: Content) -> bool:
    """Photographs of real people are handed out on request only."""
    return content != "synthetic"


def licence_of(facts: DatasetFacts, statement: Statement) -> dict[str, str]:
    """The card's ``license`` keys, such as the Hub accepts."""
    named = statement.licence
    if named is None:
        known = {one.strip().lower() for one in facts.licences} - {"unknown"}
        if facts.content == "synthetic" and not known:
            named = SYNTHETIC_LICENCE
        elif len(known) == 1 and "unknown" not in facts.licences:
            named = known.pop()
        else:
            named = PER_IMAGE
    return licence_keys(named)


def licence_keys(name: str) -> dict[str, str]:
    """A licence's name as the Hub's YAML has it."""
    key = _hub_key(name)
    if key in _HUB_LICENCES:
        return {"license": key}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", key).strip("-")}


def _hub_key(name: str) -> str:
    """``CC BY-NC 4.0`` is ``cc-by-nc-4.0``."""
    return re.sub(r"[\s_]+", "-", name.strip().lower())
