"""The server: repositories and releases in memory, a log of requests, and faults on demand."""

from __future__ import annotations

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

from loopback.api import ApiFault, answer_api, stage_of
from loopback.repo import LFS_FROM_BYTES, Repo, etag

__all__ = ["LFS_FROM_BYTES", "ApiFault", "Fault", "LoopbackHub", "Repo", "Request"]


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
    stage: str | None = None
    """Of the API's: see :func:`loopback.api.stage_of`."""


@dataclass
class LoopbackHub:
    """Use as a context manager; ``url`` is its endpoint."""

    repos: dict[str, Repo] = field(default_factory=dict)
    """``org/name``: models, and ``datasets/org/name``."""
    releases: dict[str, bytes] = field(default_factory=dict)
    """Files at ``url/releases/NAME``, as any web server has them."""
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    """By the path in the repository or the release's name; each is used once, in order."""
    api_faults: dict[str, deque[ApiFault]] = field(default_factory=lambda: defaultdict(deque))
    """By the stage of the API; each is used once, in order."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    """Uploaded large files, by SHA-256."""
    requests: list[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)

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

    def add_api_fault(self, stage: str, *faults: ApiFault) -> None:
        """``ApiFault()`` is none: it lets one request of the stage pass."""
        self.api_faults[stage].extend(faults)

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

    def stages(self) -> list[str]:
        """What was asked of the API and answered well, in order."""
        return [one.stage for one in self.requests if one.stage and one.status < 300]


_RESOLVE = re.compile(r"^/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)$")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


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
            else:
                self._api(b"")

        do_HEAD = do_GET

        def do_POST(self) -> None:
            self._api(self._body())

        do_PUT = do_DELETE = do_POST

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _resolve(self, name: str, revision: str, path: str) -> None:
            repo = hub.repos.get(name)
            if repo is None or (repo.private and not self.headers.get("Authorization")):
                return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            if repo.gated and not self.headers.get("Authorization"):
                return self._answer(401, b"", {"X-Error-Code": "GatedRepo"})
            if (commit := repo.commit_of(revision)) is None:
                return self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            facts = {"X-Repo-Commit": commit}
            content = repo.at(commit).get(path)
            if content is not None:
                facts["ETag"] = f'"{repo.etag(path, content)}"'
                if repo.is_lfs(path, content):
                    facts["X-Linked-Size"] = str(len(content))
                    facts["X-Linked-Etag"] = f'"{repo.etag(path, content)}"'
            return self._file(path, content, facts)

        def _api(self, body: bytes) -> None:
            parts = urllib.parse.urlsplit(self.path)
            path = urllib.parse.unquote(parts.path)
            stage = stage_of(self.command, path)
            waiting = hub.api_faults[stage or ""]
            fault = waiting.popleft() if waiting else ApiFault()
            if fault.before is not None:
                fault.before()
            if fault.drop:
                return self._hang_up(stage)
            if fault.status != 200:
                said = fault.body.replace(b"{token}", self._token().encode())
                headers = {"Content-Type": "application/json"}
                if fault.retry_after_s is not None:
                    headers["Retry-After"] = str(fault.retry_after_s)
                return self._answer(fault.status, said, headers, stage=stage)
            with hub.lock:
                answer = answer_api(hub, self.command, path, parts.query, body, self._token())
            if fault.after is not None:
                fault.after()
            if fault.lose_answer:
                return self._hang_up(stage)
            headers = {"Content-Type": "application/json", **answer.headers}
            self._answer(answer.status, answer.body(), headers, stage=stage)

        def _token(self) -> str:
            return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

        def _hang_up(self, stage: str | None) -> None:
            hub.requests.append(Request(self.command, self.path, None, None, 599, stage))
            self.close_connection = True

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
                return self._answer(404, b"", {"X-Error-Code": "EntryNotFound", **facts})
            body = content if fault.content is None else fault.content
            if fault.content_type is not None:
                facts = facts | {"Content-Type": fault.content_type}
            start, end, status = 0, len(body), 200
            facts = {"ETag": f'"{etag(body)}"'} | facts if fault.etag else facts
            facts = {"Accept-Ranges": "bytes"} | facts
            asked = _RANGE.match(self.headers.get("Range", ""))
            same = self.headers.get("If-Range") in (None, facts.get("ETag"))
            honoured = same and self.command == "GET" and not fault.ignore_range
            if honoured and asked and any(asked.groups()):
                start, end, status = *_range(asked[1], asked[2], len(body)), 206
                if start >= len(body):
                    return self._answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
                facts = facts | {"Content-Range": f"bytes {start}-{end - 1}/{len(body)}"}
            self._answer(status, body[start:end], facts, fault.send_bytes)
            if fault.hang:
                hub.closing.wait()

        def _answer(
            self,
            status: int,
            body: bytes,
            headers: dict[str, str],
            send: int | None = None,
            stage: str | None = None,
        ) -> None:
            token = self.headers.get("Authorization")
            if not self.path.endswith("/api/agent-harnesses"):  # the client's own telemetry
                hub.requests.append(
                    Request(
                        self.command, self.path, self.headers.get("Range"), token, status, stage
                    )
                )
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body if send is None else body[:send])
                self.close_connection = self.close_connection or send is not None

    return Handler


def _range(first: str, last: str, size: int) -> tuple[int, int]:
    """Start and end of an HTTP range; ``-n`` are the last n bytes."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size
