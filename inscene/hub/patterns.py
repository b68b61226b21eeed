"""What local paths and secrets look like, as regular expressions that RE2 and ``re`` both read."""

from __future__ import annotations

import re

LOCAL_PATH = "|".join(
    [
        r"^/[^/\s]+",  # the whole value
        r"(?:^|[^\w/.~-])(?:/[^\s/\"'<>|,;:)\]}]+){2}",  # inside a text: two folders deep or more
        r"(?:^|[^A-Za-z0-9])[A-Za-z]:(?:\\{1,2}|/)[^\s\\/]",
        r"(?:^|[^\w])~/[\w.]",
        r"file://",
        r"\\\\[\w.-]+\\",  # a share of Windows
    ]
)
"""An absolute path of some machine. ``and/or``, dates and addresses of web pages are none."""

SECRET = "|".join(
    [
        r"hf_[A-Za-z0-9]{20,}",
        r"gh[pousr]_[A-Za-z0-9]{30,}",
        r"github_pat_[A-Za-z0-9_]{30,}",
        r"AKIA[0-9A-Z]{16}",
        r"(?:^|[^\w])sk-[A-Za-z0-9_-]{20,}",
        r"xox[abprs]-[A-Za-z0-9-]{10,}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY",
        r"[?&](?:X-Amz-Signature|X-Goog-Signature|access_token|token|sig)=[A-Za-z0-9%]{16,}",
        r"Bearer [A-Za-z0-9._-]{20,}",
    ]
)
"""Keys of the Hub, GitHub, AWS, OpenAI, Slack; private keys; signed addresses."""

CELEBREF = r"(?i)celeb[-_ .]?(?:hq[-_ .]?)?ref"
"""CelebRef-HQ, and the authors' own folder CelebHQRefForRelease."""
REFERENCES = r"(?i)(?:^|[/\\_ .-])(?:ref|reference)s?(?:$|[/\\_ .-])"
"""A folder or a column of reference photographs, by its name."""
PLACE_NAME = r"(?i)(?:^|[._])(?:gps\w*|latitude|longitude)$"
EMBEDDING_NAME = r"(?i)embedding|arcface|face_?vector|id_?token|faceid"
EMBEDDING_KEY = r'"[A-Za-z_]*(?:embedding|face_vector|id_token)[A-Za-z_]*"\s*:\s*\['
"""An array of that name inside JSON."""

_REFERENCE_NAME = re.compile(REFERENCES)
_PATH_IN_TEXT = re.compile(LOCAL_PATH, re.M)
_SECRET_IN_TEXT = re.compile(SECRET, re.M)


def is_reference_name(name: str) -> bool:
    """Whether a column or a folder above the file is named as references are."""
    return _REFERENCE_NAME.search(name) is not None


def has_local_path(text: str) -> bool:
    return _PATH_IN_TEXT.search(text) is not None


def has_secret(text: str) -> bool:
    return _SECRET_IN_TEXT.search(text) is not None


def masked(text: str) -> str:
    """The text without what it must not say; for messages."""
    return _SECRET_IN_TEXT.sub("[secret]", text)


def redacted(value: object) -> object:
    """A JSON value in which absolute paths are only their last parts."""
    if isinstance(value, dict):
        return {key: redacted(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(inner) for inner in value]
    if isinstance(value, str) and has_local_path(value):
        parts = [part for part in re.split(r"[\\/]+", value) if part]
        prefix = re.match(r"[a-z-]+:(?=/|~)", value)  # folder:/home/… is a method's name
        return f"{prefix[0] if prefix else ''}[local]/{parts[-1] if parts else ''}"
    return value
