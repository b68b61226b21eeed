"""One file over HTTP into a ``.part`` file: resumed after anything, ``kill -9`` included.

huggingface_hub's own download begins anew in each process (2.4: its temporary name is unique to
it), which is no way to fetch 24 GB. Its HTTP session is used, and with it the user's proxies,
certificates and ``HF_HUB_OFFLINE``; TLS is always verified.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inscene.errors import InsceneError, MachineError
from inscene.weights.sizes import in_words
from inscene.weights.verify import Advance

STALLS_ALLOWED = 5
"""Attempts in a row that bring nothing new."""
RESTARTS_ALLOWED = 2
"""Times that what has come is thrown away, because the server cannot go on from there."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
TIMEOUT_S = 30.0
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
SPARE_BYTES = 64 * 2**20
"""Disk space that must stay free."""


@dataclass(frozen=True)
class Address:
    """Where one file is to be had."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent to this host only, never to one it redirects to."""
    bytes: int | None = None
    stated: str | None = None
    """What the hub says of its content: ``sha256:…`` or ``git:…``."""
    commit: str | None = None
    gated: bool = False

    @property
    def origin(self) -> str:
        return f"{self.url} @ {self.commit}" if self.commit else self.url


class _AgainError(Exception):
    """Worth another attempt."""

    def __init__(self, why: str, *, wait_s: float | None = None, restart: bool = False) -> None:
        super().__init__(why)
        self.wait_s, self.restart = wait_s, restart


def download(address: Address, part: Path, advance: Advance, unpacked_bytes: int = 0) -> None:
    """Bring all of it into ``part``, going on from what is there already.

    Raises ``MachineError`` where the server refuses, the network fails for good or the disk is
    full; what has come by then stays for the next attempt. ``unpacked_bytes`` are needed beside.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    if _size(part) and (part.stat().st_nlink > 1 or _written_for(part).get("url") != address.url):
        part.unlink()  # of another address, or a name of someone else's file
    _must_fit(address, part, unpacked_bytes)
    stalls, restarts, wait_s = 0, 0, FIRST_WAIT_S
    while True:
        before = _size(part)
        if address.bytes is not None and before == address.bytes:
            return
        try:
            with _network_errors(address.url):
                if _attempt(address, part, advance):
                    return
                again = _AgainError("the server ended early")
        except _AgainError as error:
            again = error
        if again.restart:
            advance(-_size(part))
            part.unlink(missing_ok=True)
            restarts += 1
        elif _size(part) > before:
            stalls, wait_s = 0, FIRST_WAIT_S
            continue
        stalls += 1
        if stalls >= STALLS_ALLOWED or restarts > RESTARTS_ALLOWED:
            wanted = f" of {address.bytes:,}" if address.bytes else ""
            raise MachineError(
                "the download does not go on",
                where=address.url,
                why=f"{again}; {_size(part):,}{wanted} bytes are here after {stalls} attempts.",
                next_step="The same command goes on from there.",
            )
        if not again.restart:
            time.sleep(min(wait_s if again.wait_s is None else again.wait_s, LONGEST_WAIT_S))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _attempt(address: Address, part: Path, advance: Advance) -> bool:
    """One request for what is still to come. True where all of it is here."""
    from huggingface_hub import get_session

    have = _size(part)
    headers = {"Accept-Encoding": "identity", **address.headers}
    if have:
        headers["Range"] = f"bytes={have}-"
        if etag := _written_for(part).get("etag"):
            headers["If-Range"] = etag  # of another file by now all of it is sent
        elif address.stated is None and address.commit is None:
            raise _AgainError("the server does not say which file it sends", restart=True)
    with get_session().stream(
        "GET", address.url, headers=headers, timeout=TIMEOUT_S, follow_redirects=True
    ) as response:
        if response.status_code == 416:  # there is no more of it, or it is another file by now
            if address.bytes is None and response.headers.get("Content-Range") == f"bytes */{have}":
                return True
            raise _AgainError("the server has no such part of the file", restart=True)
        _raise_for_status(response, address)
        starts = _start(response) if response.status_code == 206 else 0
        if starts not in (0, have):
            raise _AgainError(f"the server sends from byte {starts:,}", restart=True)
        total = _total(response, starts)
        if address.bytes is not None and total is not None and total != address.bytes:
            raise MachineError(
                f"the server's file has {total:,} bytes, not {address.bytes:,}",
                where=address.url,
                why="It is another file, or an error page.",
            )
        if starts < have:  # it sends all of it again
            advance(-have)
        if starts == 0:
            _write_origin(part, address.url, response.headers.get("ETag", ""))
        with part.open("ab" if starts else "wb") as stream:
            for chunk in response.iter_raw():
                stream.write(chunk)
                advance(len(chunk))
        wanted = address.bytes if address.bytes is not None else total
        return wanted is None or _size(part) == wanted


def _start(response: Any) -> int:
    """First byte of what is sent; -1 where the server does not say it as it should."""
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _origin_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.from")


def _written_for(part: Path) -> dict[str, str]:
    """Which address, and which version of its file, the part is of."""
    try:
        found = json.loads(_origin_file(part).read_text(encoding="utf-8"))
        return {"url": str(found["url"]), "etag": str(found["etag"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_origin(part: Path, url: str, etag: str) -> None:
    strong = etag if etag.startswith('"') else ""  # a weak one does not vouch for single bytes
    _origin_file(part).write_text(json.dumps({"url": url, "etag": strong}), encoding="utf-8")


def forget_origin(part: Path) -> None:
    """To be called when the part has become a file."""
    _origin_file(part).unlink(missing_ok=True)


def _total(response: Any, starts: int) -> int | None:
    """Bytes of the whole file, as the server states them."""
    length = response.headers.get("Content-Length", "")
    return starts + int(length) if length.isdigit() else None


def _raise_for_status(response: Any, address: Address) -> None:
    code = response.status_code
    if code < 300:
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise MachineError(
                "the server sends a web page instead of the file",
                where=address.url,
                why="A proxy may want a login.",
                next_step=FROM_A_FOLDER,
            )
        return
    if code in TRY_AGAIN:
        after = response.headers.get("Retry-After", "")
        wait_s = float(after) if after.isdigit() else None
        raise _AgainError(f"the server answers {code}", wait_s=wait_s)
    raise refused(code, address.url, address.gated)


FROM_A_FOLDER = "Take it from elsewhere: inscene weights pull NAME --from FOLDER"


def refused(code: int, url: str, gated: bool = False) -> MachineError:
    """The error for an answer that will not become better."""
    if code in (401, 403):
        return MachineError(
            "the server wants to know who you are" if gated else "the server refuses",
            where=url,
            why=f"It answers {code}" + (": the repository is gated." if gated else "."),
            next_step="Accept the licence on the repository's page, then run: hf auth login"
            if gated
            else f"A proxy or a limit may be the cause. {FROM_A_FOLDER}",
        )
    if code == 404:
        return MachineError(
            "there is no such file",
            where=url,
            why="It may have moved since this version was released.",
            next_step=FROM_A_FOLDER,
        )
    return MachineError(f"the server answers {code}", where=url, next_step=FROM_A_FOLDER)


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    import httpx2
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise offline(url) from error
    except (httpx2.ProxyError, httpx2.UnsupportedProtocol) as error:
        raise MachineError("the proxy does not work", where=url, why=f"{error}.") from error
    except httpx2.TransportError as error:
        if is_untrusted(error):
            raise untrusted(url, error) from error
        raise _AgainError(f"{type(error).__name__}: {error}") from error
    except httpx2.HTTPError as error:
        raise MachineError("the download failed", where=url, why=f"{error}.") from error


def is_untrusted(error: Exception) -> bool:
    """Whether TLS failed because nobody vouches for the server's certificate."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def untrusted(url: str, error: Exception) -> MachineError:
    return MachineError(
        "the server's certificate cannot be verified",
        where=url,
        why=f"{error}.",
        next_step="Behind a proxy with its own certificate: set SSL_CERT_FILE to it.",
    )


def offline(url: str) -> InsceneError:
    return MachineError(
        "nothing is downloaded: HF_HUB_OFFLINE is set",
        where=url,
        next_step="Unset it, or take the files from a folder: "
        "inscene weights pull NAME --from FOLDER",
    )


def _must_fit(address: Address, part: Path, unpacked_bytes: int) -> None:
    if address.bytes is None:
        return
    left = address.bytes - _size(part) + unpacked_bytes
    free = shutil.disk_usage(part.parent).free
    if left + SPARE_BYTES > free:
        raise MachineError(
            f"{in_words(left)} are still to come, and {in_words(free)} are free",
            where=str(part.parent),
            next_step="Make room, or set INSCENE_WEIGHTS to a folder on another disk.",
        )
