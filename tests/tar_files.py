"""Tars for tests, honest and hostile."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def tar_bytes(
    members: Iterable[tuple[str | tarfile.TarInfo, bytes]], format: int = tarfile.PAX_FORMAT
) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as tar:
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if isinstance(member, str):
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def sample(key: str, image: bytes, **said: Any) -> list[tuple[str | tarfile.TarInfo, bytes]]:
    """As img2dataset 1.45 writes one: the files in the order of their endings."""
    facts = {
        "caption": f"a person, {key}",
        "url": f"https://photos.example/{key}.jpg",
        "key": key,
        "status": "success",
        "error_message": None,
        "width": 64,
        "height": 48,
        "original_width": 64,
        "original_height": 48,
        "exif": json.dumps({"Image Make": "SECRETCAM", "GPS GPSLatitude": "[48, 8, 13]"}),
        "sha256": "0" * 64,
        **said,
    }
    return [
        (f"{key}.jpg", image),
        (f"{key}.json", json.dumps(facts, indent=4).encode()),
        (f"{key}.txt", str(facts["caption"]).encode()),
    ]


def special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


def claiming(name: str, size: int, format: int = tarfile.GNU_FORMAT) -> bytes:
    """The header alone of a file of so many bytes."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(format=format)


def write_tar(
    file: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]], extra: bytes = b""
) -> Path:
    """``extra`` takes the place of the archive's end."""
    data = tar_bytes(members)
    if extra:
        data = data.rstrip(b"\0")
        data += bytes(-len(data) % 512) + extra
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file
