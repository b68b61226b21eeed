"""What must not be published, by rule: why, what to do, and which flag lets it through, if any."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from inscene.errors import UsageError
from inscene.suggest import did_you_mean


@dataclass(frozen=True)
class Rule:
    name: str
    about: str
    """What is wrong, for a heading of the card."""
    remedy: str
    waivable: bool = False

    @property
    def flag(self) -> str | None:
        """The option of ``inscene publish`` that lets it through; the card then says so."""
        return f"--allow-{self.name}" if self.waivable else None


RULES = {
    rule.name: rule
    for rule in (
        Rule(
            "unknown-licence",
            "rows whose licence is unknown",
            "Give the source a column 'licence' and make the dataset anew, or take the rows out: "
            "inscene forget.",
            waivable=True,
        ),
        Rule(
            "unknown-consent",
            "rows whose basis of consent is unknown",
            "Give the source a column 'consent' and make the dataset anew, or take the rows out: "
            "inscene forget.",
            waivable=True,
        ),
        Rule(
            "reference-images",
            "reference photographs of people",
            "References stay where they are: publish what was made from them, and take these rows "
            "or this column out.",
        ),
        Rule(
            "face-embeddings",
            "vectors that identify a face",
            "They are biometric data: take the column out. Similarities may stay.",
        ),
        Rule(
            "celebref-hq",
            "material of CelebRef-HQ itself",
            "Its terms forbid to pass on any portion. Publish generated scenes only; if this is "
            "something else, name the source otherwise and make the dataset anew.",
        ),
        Rule(
            "image-metadata",
            "images that say more than their pixels",
            "inscene build and inscene degrade write images without metadata: make the dataset "
            "anew with them.",
            waivable=True,
        ),
        Rule(
            "location",
            "places where people were photographed",
            "Take the coordinates out: inscene build gallery keeps none.",
        ),
        Rule(
            "local-paths",
            "absolute paths of a machine",
            "Give relative names in the source, and make the dataset anew.",
            waivable=True,
        ),
        Rule(
            "secrets",
            "access tokens, keys or signed addresses",
            "Revoke it first (whoever has the dataset has it), then take it out of the source.",
        ),
    )
}
WAIVABLE = tuple(rule.name for rule in RULES.values() if rule.waivable)


@dataclass(frozen=True)
class Refusal:
    """Why some rows are not published."""

    rule: str
    sample_id: str
    """Of the first such row."""
    column: str
    why: str
    remedy: str
    rows: int = 1
    """How many there are like it."""

    @property
    def flag(self) -> str | None:
        return RULES[self.rule].flag

    def __str__(self) -> str:
        others = f" (and {self.rows - 1} more rows)" if self.rows > 1 else ""
        way_out = f"{self.remedy} Or say {self.flag}." if self.flag else self.remedy
        return f"{self.rule}: {self.sample_id}{others}, {self.column}: {self.why}. {way_out}"


@dataclass(frozen=True)
class Allowed:
    """What the publisher let through with flags, by the rules' names; the card tells it.

    Raises :class:`UsageError` for what no flag lets through.
    """

    rules: frozenset[str] = field(default=frozenset())

    @classmethod
    def of(cls, names: Iterable[str]) -> Allowed:
        return cls(frozenset(names))

    def __post_init__(self) -> None:
        for name in sorted(self.rules - set(WAIVABLE)):
            raise UsageError(
                f"{name!r} cannot be allowed",
                where="--allow",
                why=RULES[name].remedy if name in RULES else None,
                next_step=did_you_mean(name, WAIVABLE),
            )

    def __contains__(self, rule: object) -> bool:
        return rule in self.rules


def refused(refusals: Iterable[Refusal], where: str) -> UsageError | None:
    """All of them as the one error that stops a publish; None where there are none."""
    lines = [str(one) for one in refusals]
    if not lines:
        return None
    return UsageError(
        f"may not be published, for {len(lines)} reason{'s' if len(lines) > 1 else ''}",
        where=where,
        why="\n  ".join(lines),
        next_step="Nothing was sent.",
    )
