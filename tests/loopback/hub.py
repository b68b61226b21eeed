"""The server: repositories and releases in memory, a log of requests, and faults on demand."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import threading
import urllib.parse
from collections import defaultdict, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

LFS_FROM_BYTES = 512
"""Files of this size are as the hub has large ones: with their SHA-256 as ETag."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with one answer to a GET or HEAD of a file."""

    status: int = 200
    """Answered instead, where it is not 200."""
    retry_after_s: int | None = None
    location: str | None = None
    """Where a redirect leads."""
    send_bytes: int | None = None
    """The connection ends after so many bytes of the body, with the full length announced."""
    hang: bool = False
    """It does not end, but says nothing more."""
    content: bytes | None = None
    """Sent instead of the file's."""
    ignore_range: bool = False
    etag: bool = True
    content_type: str | None = None
    methods: tuple[str, ...] = ("GET",)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None
    token: str | None
    status: int = 0


@dataclass
class Repo:
    files: dict[str, bytes]
    gated: bool = False

    @property
    def commit(self) -> str:
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()


@dataclass
class LoopbackHub:
    """Use as a context manager; ``url`` is its endpoint."""

    repos: dict[str, Repo] = field(default_factory=dict)
    """``org/name``: models, and ``datasets/org/name``."""
    releases: dict[str, bytes] = field(default_factory=dict)
    """Files at ``url/releases/NAME``, as any web server has them."""
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    """By the path in the repository or the release's name; each is used once, in order."""
    requests: list[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> LoopbackHub:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def use_tls(self, certificate: Path, key: Path) -> None:
        """From now on it speaks HTTPS, on the same port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def add_repo(self, name: str, files: dict[str, bytes], *, gated: bool = False) -> None:
        self.repos[name] = Repo(files, gated)

    def add_fault(self, path: str, *faults: Fault) -> None:
        self.faults[path].extend(faults)

    def environment(self, home: Any) -> dict[str, str]:
        """For a client of its own home."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HOME": str(home),
            "NO_PROXY": "127.0.0.1",
        }

    def gets(self, path: str) -> list[Request]:
        return [one for one in self.requests if one.method == "GET" and one.path.endswith(path)]


def _is_lfs(content: bytes) -> bool:
    return len(content) >= LFS_FROM_BYTES


def _etag(content: bytes) -> str:
    if _is_lfs(content):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


_RESOLVE = re.compile(r"^/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)$")
_API = re.compile(r"^/api/(models|datasets)/([^/]+/[^/]+?)(?:/(revision|tree)/([^/]+))?$")


def _handler(hub: LoopbackHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            if path.startswith("/releases/"):
                name = path.removeprefix("/releases/")
                self._file(name, hub.releases.get(name), {})
            elif found := _RESOLVE.match(path):
                self._resolve(*found.groups())
            elif found := _API.match(path):
                self._api(*found.groups())
            else:
                self._answer(404, b"", {"X-Error-Code": "Unhandled"})

        do_HEAD = do_GET

        def _resolve(self, name: str, revision: str, path: str) -> None:
            repo = hub.repos.get(name)
            if repo is None:
                return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            if repo.gated and not self.headers.get("Authorization"):
                return self._answer(401, b"", {"X-Error-Code": "GatedRepo"})
            if revision not in ("main", repo.commit):
                return self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            facts = {"X-Repo-Commit": repo.commit}
            content = repo.files.get(path)
            if content is not None:
                facts["ETag"] = f'"{_etag(content)}"'
                if _is_lfs(content):
                    facts["X-Linked-Size"] = str(len(content))
                    facts["X-Linked-Etag"] = f'"{_etag(content)}"'
            return self._file(path, content, facts)

        def _api(self, kind: str, name: str, what: str | None, revision: str | None) -> None:
            repo = hub.repos.get(name if kind == "models" else f"datasets/{name}")
            if repo is None:
                return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            if what == "tree":
                entries = [
                    {"type": "file", "path": path, "size": len(content), "oid": _etag(content)}
                    | ({"lfs": {"oid": _etag(content), "size": len(content), "pointerSize": 130}}
                       if _is_lfs(content) else {})
                    for path, content in sorted(repo.files.items())
                ]  # fmt: skip
                return self._json(entries)
            siblings = [{"rfilename": path} for path in sorted(repo.files)]
            return self._json(
                {"id": name, "sha": repo.commit, "siblings": siblings, "gated": repo.gated,
                 "private": False, "disabled": False, "tags": [], "downloads": 0, "likes": 0}
            )  # fmt: skip

        def _file(self, name: str, content: bytes | None, facts: dict[str, str]) -> None:
            waiting = hub.faults[name]
            fault = Fault()
            if waiting and self.command in waiting[0].methods:
                fault = waiting.popleft()
            if fault.status != 200:
                headers = {"Retry-After": fault.retry_after_s, "Location": fault.location}
                told = {name: str(value) for name, value in headers.items() if value is not None}
                return self._answer(fault.status, b"", told)
            if content is None:
                return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            body = content if fault.content is None else fault.content
            if fault.content_type is not None:
                facts = facts | {"Content-Type": fault.content_type}
            start, status = 0, 200
            facts = {"ETag": f'"{_etag(body)}"'} | facts if fault.etag else facts
            asked = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
            same = self.headers.get("If-Range") in (None, facts.get("ETag"))
            if asked and same and self.command == "GET" and not fault.ignore_range:
                start, status = int(asked[1]), 206
                if start >= len(body):
                    return self._answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
                facts = facts | {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            self._answer(status, body[start:], facts, fault.send_bytes)
            if fault.hang:
                hub.closing.wait()

        def _json(self, value: Any) -> None:
            self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str], send: int | None = None
        ) -> None:
            token = self.headers.get("Authorization")
            if not self.path.endswith("/api/agent-harnesses"):  # the client's own telemetry
                hub.requests.append(
                    Request(self.command, self.path, self.headers.get("Range"), token, status)
                )
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body if send is None else body[:send])
                self.close_connection = send is not None

    return Handler
