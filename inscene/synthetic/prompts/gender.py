"""Who is called a man or a woman: a file of the user's says so, or nobody is.

Nothing here or elsewhere guesses it, from names, photographs or anything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inscene.errors import UsageError
from inscene.suggest import did_you_mean

Subject = Literal["man", "woman", "person"]
NEUTRAL: Subject = "person"

_SUBJECTS: dict[str, Subject] = {"Man": "man", "Woman": "woman", "Person": "person"}


@dataclass(frozen=True)
class GenderMap:
    """What each identity is called."""

    subjects: Mapping[str, Subject]
    path: str

    def subject_of(self, identity: str) -> Subject:
        """Raises :class:`UsageError` for an identity that the file does not name."""
        if identity not in self.subjects:
            self.require([identity])
        return self.subjects[identity]

    def require(self, identities: Iterable[str]) -> None:
        """Raises :class:`UsageError` unless every one of them is named: a gap must not turn into a
        person of another kind without a word."""
        missing = sorted(set(identities) - self.subjects.keys())
        if missing:
            raise UsageError(
                f"does not name {missing[0]!r}, as one of {len(missing)}",
                where=self.path,
                next_step="Give them Man, Woman or Person.",
            )


def load_gender_map(path: Path) -> GenderMap:
    """The authors' format: ``{"00001": "Woman", "00002": "Man"}``; ``"Person"`` is ours.

    Raises :class:`UsageError` with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("cannot be read", where=str(path), why=f"{error}.") from error
    try:
        entries = json.loads(text, object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise UsageError(
            "is not valid JSON", where=f"{path}:{error.lineno}", why=f"{error.msg}."
        ) from error
    if not isinstance(entries, list) or not text.lstrip().startswith("{"):
        raise UsageError(
            "is no map of identities",
            where=str(path),
            next_step='It looks like {"00001": "Woman", "00002": "Man"}.',
        )
    subjects: dict[str, Subject] = {}
    for identity, word in entries:
        where = f"{path}:{_line_of(text, identity)}"
        known = {name.lower(): name for name in _SUBJECTS}
        if not isinstance(word, str) or word.lower() not in known:
            raise UsageError(
                f"{identity!r} is called {word!r}",
                where=where,
                next_step=did_you_mean(str(word), _SUBJECTS),
            )
        if identity in subjects:
            raise UsageError(f"{identity!r} occurs twice", where=where)
        subjects[identity] = _SUBJECTS[known[word.lower()]]
    return GenderMap(subjects, str(path))


def _line_of(text: str, identity: str) -> int:
    """Where the key last stands: of a key that occurs twice, the second is the mistake."""
    return text.count("\n", 0, max(text.rfind(json.dumps(identity)), 0)) + 1
