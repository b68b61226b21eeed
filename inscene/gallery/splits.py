"""Splits in which nobody, and nothing that shows the same, is twice."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inscene.errors import UsageError, VerificationError
from inscene.gallery.components import Component, Sample, Tie, path
from inscene.seeds import Draws
from inscene.suggest import did_you_mean

_SPLIT = re.compile(r"\w+(\.\w+)*")  # as the Hub's libraries have it


@dataclass(frozen=True)
class Fractions:
    """Split -> its share of the components, not of the samples; they sum to 1."""

    shares: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, shares: Mapping[str, float]) -> Fractions:
        """Raises :class:`UsageError` for what is no division of a whole."""
        wanted = tuple((name, share) for name, share in shares.items() if share)
        if any(not 0 < share <= 1 for _, share in wanted) or abs(sum(shares.values()) - 1) > 1e-9:
            said = ", ".join(f"{name} {share:g}" for name, share in shares.items())
            raise UsageError(
                f"these shares are no division of a whole: {said}",
                next_step="--val and --test are between 0 and 1; train is what they leave.",
            )
        return cls(wanted)


def by_hash(found: Sequence[Component], fractions: Fractions, seed: int) -> list[str]:
    """The split of each component, from its name and the seed alone: others that come or go move
    nobody, unless a duplicate joins two people."""
    draws = Draws("split", seed)
    names, weights = zip(*fractions.shares, strict=True)
    return [draws.choice(one.name, names, weights) for one in found]


@dataclass(frozen=True)
class Listing:
    """Identity -> split, as somebody wrote it."""

    file: str
    split_of: Mapping[str, str]


def read_listing(file: Path) -> Listing:
    """CSV with the columns ``identity`` and ``split``; or YAML, of identities with their splits, or
    of splits with lists of identities. Raises :class:`UsageError` for anything else, and for an
    identity with two splits."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("cannot be read", where=str(file), why=f"{error}.") from error
    is_yaml = file.suffix.lower() in (".yaml", ".yml")
    pairs = _of_yaml(file, text) if is_yaml else _of_csv(file, text)
    found: dict[str, str] = {}
    for where, identity, split in pairs:
        if not _SPLIT.fullmatch(split):
            raise UsageError(
                f"{split!r} cannot name a split",
                where=where,
                next_step="Use letters, digits, '_' and '.'.",
            )
        if found.setdefault(identity, split) != split:
            raise UsageError(
                f"{identity!r} is in {found[identity]!r} and in {split!r}", where=where
            )
    if not found:
        raise UsageError("names nobody", where=str(file))
    return Listing(str(file), found)


def _of_csv(file: Path, text: str) -> Iterable[tuple[str, str, str]]:
    lines = text.splitlines()
    reader = csv.DictReader(lines)
    if not {"identity", "split"} <= set(reader.fieldnames or ()):
        raise UsageError(
            "has no columns identity and split",
            where=str(file),
            why=f"Its first line is {lines[0] if lines else ''!r}.",
            next_step="Write identity,split there.",
        )
    for row in reader:
        identity, split = (row.get(name) or "" for name in ("identity", "split"))
        where = f"{file}:{reader.line_num}"
        if not identity.strip() or not split.strip():
            raise UsageError("a line has no identity or no split", where=where)
        yield where, identity.strip(), split.strip()


def _of_yaml(file: Path, text: str) -> Iterable[tuple[str, str, str]]:
    try:
        # As words: an identity such as 00012 is no number.
        data: Any = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise UsageError("is not valid YAML", where=str(file), why=f"{error}.") from error
    if not isinstance(data, dict):
        raise UsageError("holds no mapping", where=str(file), next_step="Write IDENTITY: SPLIT.")
    for key, value in data.items():
        if isinstance(value, str):
            yield str(file), str(key), value
        elif isinstance(value, list) and all(isinstance(name, str) for name in value):
            yield from ((str(file), name, str(key)) for name in value)
        else:
            raise UsageError(f"{key!r} is neither a word nor a list of words", where=str(file))


def by_listing(
    samples: Sequence[Sample],
    found: Sequence[Component],
    tied: Sequence[Tie],
    listing: Listing,
    others: str | None = None,
) -> list[str]:
    """The split of each component, as the listing has it; ``others``, where it names nobody of it.

    Raises :class:`UsageError` where it contradicts what belongs together, and for people whom it
    does not know when there is no ``others``.
    """
    splits = []
    for one in found:
        wanted = {listing.split_of[name]: name for name in one.identities
                  if name in listing.split_of}  # fmt: skip
        if len(wanted) > 1:
            raise _contradiction(samples, one, tied, listing, wanted)
        if not wanted and others is None:
            raise _unlisted(samples, one, listing)
        splits.append(next(iter(wanted), others or ""))
    return splits


def _contradiction(
    samples: Sequence[Sample],
    one: Component,
    tied: Sequence[Tie],
    listing: Listing,
    wanted: Mapping[str, str],
) -> UsageError:
    (split, name), (other_split, other), *_ = sorted(wanted.items())
    starts = [place for place in one.members if samples[place].identity == name]
    ends = [place for place in one.members if samples[place].identity == other]
    way = [tie for tie in path(tied, starts, ends) if tie.why != "one person"]
    said = "; ".join(f"{samples[t.one].id} and {samples[t.other].id}: {t.why}" for t in way)
    return UsageError(
        f"puts {name!r} into {split!r} and {other!r} into {other_split!r}, but they share photos",
        where=listing.file,
        why=f"{said}.",
        next_step="Put them into one split, or take the duplicates out first (the closing step "
        "duplicates, or inscene forget).",
    )


def _unlisted(samples: Sequence[Sample], one: Component, listing: Listing) -> UsageError:
    if not one.identities:
        return UsageError(
            f"says nothing of samples without an identity, such as {samples[one.members[0]].id!r}",
            where=listing.file,
            next_step="Add --others SPLIT for them.",
        )
    hint = did_you_mean(one.identities[0], listing.split_of)
    hint = f"{hint} " if hint.startswith("Did you mean") else ""
    return UsageError(
        f"does not name the identity {one.identities[0]!r}",
        where=listing.file,
        next_step=f"{hint}Add it, or add --others SPLIT for whoever is not named.",
    )


def split_of_sample(
    samples: Sequence[Sample], found: Sequence[Component], splits: Sequence[str]
) -> dict[str, str]:
    """Sample id -> split."""
    return {
        samples[place].id: split
        for one, split in zip(found, splits, strict=True)
        for place in one.members
    }


def check_apart(
    samples: Sequence[Sample], tied: Iterable[Tie], split_of: Mapping[str, str]
) -> None:
    """Raises :class:`VerificationError` where two that belong together are in two splits."""
    for tie in tied:
        one, other = samples[tie.one].id, samples[tie.other].id
        if split_of[one] != split_of[other]:
            raise VerificationError(
                f"{one!r} is in {split_of[one]!r} and {other!r} in {split_of[other]!r}",
                why=f"They must not be: {tie.why}.",
            )


def counts(
    samples: Sequence[Sample], found: Sequence[Component], splits: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Split -> how many samples, people and components it has."""
    tallies: dict[str, Counter[str]] = {}
    for one, split in zip(found, splits, strict=True):
        tally = tallies.setdefault(split, Counter())
        tally["samples"] += len(one.members)
        tally["identities"] += len(one.identities)
        tally["components"] += 1
    return {split: dict(tallies[split]) for split in sorted(tallies)}
