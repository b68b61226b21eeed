"""Small files to publish, and what a manifest says of them."""

from __future__ import annotations

import hashlib
from typing import Any

LICENCE = {"name": "MIT", "allows": "anyone, for anything", "commercial": "yes"}


def body(seed: int, size: int = 300_000) -> bytes:
    """Bytes that no compression makes shorter."""
    return hashlib.shake_256(str(seed).encode()).digest(size)


def known(path: str, content: bytes, **more: Any) -> dict[str, Any]:
    """A file of a manifest, its size and hash known."""
    facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {"path": path, **facts, **more}
