"""The hub's API, as far as publishing and reading need it: every request is of a named stage.

Written from what huggingface_hub 2.4 sends and reads. Large files go by the LFS protocol; Xet is
another protocol, which the environment of the loopback hub turns off.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from loopback.repo import Repo, git_oid

if TYPE_CHECKING:
    from loopback.hub import LoopbackHub


@dataclass(frozen=True)
class ApiFault:
    """What is wrong with one request to the API."""

    status: int = 200
    """Answered instead, and nothing is done, where it is not 200."""
    body: bytes = b"{}"
    """Of that answer; ``{token}`` in it is what the client was authorised by."""
    retry_after_s: int | None = None
    drop: bool = False
    """The connection ends, and nothing is done."""
    lose_answer: bool = False
    """What was asked is done, and the connection ends without an answer."""
    before: Callable[[], None] | None = None
    """Called before anything is done."""
    after: Callable[[], None] | None = None
    """Called when it is done, before the answer."""


@dataclass(frozen=True)
class Answer:
    status: int = 200
    value: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        return b"" if self.value is None else json.dumps(self.value).encode()


_STAGES: list[tuple[str, str, str]] = [
    ("POST", r"/api/repos/create", "create"),
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/validate-yaml", "validate-yaml"),
    ("POST", r"/(?:datasets/)?[^/]+/[^/]+\.git/info/lfs/objects/batch", "lfs-batch"),
    ("PUT", r"/_lfs/[0-9a-f]{64}", "put"),
    ("POST", r"/_verify", "lfs-verify"),
    ("POST", r"/api/\w+/[^/]+/[^/]+/preupload/[^/]+", "preupload"),
    ("POST", r"/api/\w+/[^/]+/[^/]+/commit/[^/]+", "commit"),
    ("POST", r"/api/\w+/[^/]+/[^/]+/tag/[^/]+", "tag"),
    ("DELETE", r"/api/\w+/[^/]+/[^/]+/tag/[^/]+", "delete-tag"),
    ("PUT", r"/api/\w+/[^/]+/[^/]+/settings", "settings"),
    ("POST", r"/api/\w+/[^/]+/[^/]+/super-squash/[^/]+", "squash"),
    ("POST", r"/api/\w+/[^/]+/[^/]+/lfs-files/batch", "lfs-delete"),
    ("GET", r"/api/\w+/[^/]+/[^/]+/lfs-files", "lfs-files"),
    ("GET", r"/api/\w+/[^/]+/[^/]+/refs", "refs"),
    ("GET", r"/api/\w+/[^/]+/[^/]+/commits/[^/]+", "commits"),
    ("GET", r"/api/\w+/[^/]+/[^/]+/tree/[^/]+(?:/.*)?", "tree"),
    ("POST", r"/api/\w+/[^/]+/[^/]+/paths-info/[^/]+", "paths-info"),
    ("GET", r"/api/\w+/[^/]+/[^/]+(?:/revision/[^/]+)?", "revision"),
]
_WRITES = {"create", "lfs-batch", "preupload", "commit", "tag", "delete-tag", "settings", "squash",
           "lfs-delete", "lfs-files"}  # fmt: skip
_REPO = re.compile(r"^/api/(models|datasets)/([^/]+/[^/]+)(?:/([^/]+)(?:/([^/]+)(?:/(.*))?)?)?$")


def stage_of(method: str, path: str) -> str | None:
    method = "GET" if method == "HEAD" else method
    for verb, pattern, stage in _STAGES:
        if verb == method and re.fullmatch(pattern, path):
            return stage
    return None


def answer_api(
    hub: LoopbackHub, method: str, path: str, query: str, body: bytes, token: str
) -> Answer:
    stage = stage_of(method, path)
    if stage is None:
        return Answer(404, None, {"X-Error-Code": "Unhandled"})
    if stage in _WRITES and not token:
        return Answer(401, {"error": "Invalid username or password."})
    if stage in _ALONE:
        return _ALONE[stage](hub, path, body)
    found = _REPO.match(path)
    assert found is not None
    kind, name, _, revision, rest = found.groups()
    repo = hub.repos.get(name if kind == "models" else f"datasets/{name}")
    if repo is None or (repo.private and not token):
        return Answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
    if stage in _OF_REPO:
        return _OF_REPO[stage](hub, repo, revision or "main", body)
    commit = repo.commit_of(revision or "main")
    if commit is None:
        return Answer(404, None, {"X-Error-Code": "RevisionNotFound"})
    if stage == "tree":
        return _tree(repo, commit, rest or "", urllib.parse.parse_qs(query))
    if stage == "paths-info":
        return _paths_info(repo, commit, body)
    return _info(repo, name, commit)


# -- without a repository ----------------------------------------------------------------------


def _create(hub: LoopbackHub, path: str, body: bytes) -> Answer:
    asked = json.loads(body)
    name = f"{asked.get('organization') or 'me'}/{asked['name']}"
    prefix = "" if asked.get("type", "model") == "model" else f"{asked['type']}s/"
    facts = {"url": f"{hub.url}/{prefix}{name}", "id": name, "name": name}
    if prefix + name in hub.repos:
        return Answer(409, {"error": "You already created this repo", **facts})
    start = {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    hub.repos[prefix + name] = Repo(start, private=private, made_by_api=True)
    return Answer(200, facts)


def _whoami(hub: LoopbackHub, path: str, body: bytes) -> Answer:
    role = {"type": "access_token", "accessToken": {"role": "write"}}
    return Answer(200, {"name": "me", "type": "user", "orgs": [], "auth": role})


def _validate_yaml(hub: LoopbackHub, path: str, body: bytes) -> Answer:
    """Of the hub's rules those that a writer of cards breaks easily."""
    content = json.loads(body)["content"]
    found = re.match(r"---\n(.*?)\n---\n", content, re.S)
    if not found:
        return Answer(200, {"errors": [], "warnings": [{"message": "empty or missing metadata"}]})
    try:
        facts = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return Answer(400, {"errors": [{"message": str(error)}], "warnings": []})
    errors = []
    licence = facts.get("license")
    if licence == "other" and not facts.get("license_name"):
        errors.append({"message": '"license_name" is required with "other"'})
    if licence is not None and not re.fullmatch(r"[a-z0-9.-]+", str(licence)):
        errors.append({"message": f'"license" must be one of the known ones, not {licence}'})
    for size in facts.get("size_categories", []):
        if not re.fullmatch(r"n<1K|\d+[KMB]<n<\d+[KMBT]|n>1T", size):
            errors.append({"message": f'"size_categories" has {size}'})
    return Answer(400 if errors else 200, {"errors": errors, "warnings": []})


def _lfs_batch(hub: LoopbackHub, path: str, body: bytes) -> Answer:
    def action(one: dict[str, Any]) -> dict[str, Any]:
        facts = {"oid": one["oid"], "size": one["size"]}
        if one["oid"] in hub.blobs:
            return facts
        upload = {"href": f"{hub.url}/_lfs/{one['oid']}", "header": {}}
        return facts | {"actions": {"upload": upload, "verify": {"href": f"{hub.url}/_verify"}}}

    objects = [action(one) for one in json.loads(body)["objects"]]
    kind = {"Content-Type": "application/vnd.git-lfs+json"}
    return Answer(200, {"transfer": "basic", "objects": objects}, kind)


def _put(hub: LoopbackHub, path: str, body: bytes) -> Answer:
    oid = path.rpartition("/")[2]
    if hashlib.sha256(body).hexdigest() != oid:
        return Answer(400, {"error": "the content has another hash"})
    hub.blobs[oid] = body
    return Answer(200, {})


def _verify(hub: LoopbackHub, path: str, body: bytes) -> Answer:
    asked = json.loads(body)
    there = asked["oid"] in hub.blobs and len(hub.blobs[asked["oid"]]) == asked["size"]
    return Answer(200 if there else 404, {})


_ALONE: dict[str, Callable[[LoopbackHub, str, bytes], Answer]] = {
    "create": _create, "whoami": _whoami, "validate-yaml": _validate_yaml,
    "lfs-batch": _lfs_batch, "put": _put, "lfs-verify": _verify,
}  # fmt: skip


# -- writing to a repository -------------------------------------------------------------------


def _preupload(hub: LoopbackHub, repo: Repo, revision: str, body: bytes) -> Answer:
    def facts(path: str) -> dict[str, Any]:
        have = repo.files.get(path)
        lfs = repo.is_lfs(path, have or b"")
        oid = None if have is None else repo.etag(path, have)
        mode = "lfs" if lfs else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    return Answer(200, {"files": [facts(one["path"]) for one in json.loads(body)["files"]]})


def _commit(hub: LoopbackHub, repo: Repo, revision: str, body: bytes) -> Answer:
    lines = [json.loads(line) for line in body.splitlines()]
    header = lines[0]["value"]
    if header.get("parentCommit") not in (None, repo.commit):
        return Answer(412, {"error": "A commit has happened since. Please refresh and try again."})
    files = dict(repo.files)
    for line in lines[1:]:
        value, path = line["value"], line["value"]["path"]
        if line["key"] == "file":
            files[path] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            if value["oid"] not in hub.blobs:
                return Answer(400, {"error": f"{path}: its content was not uploaded"})
            files[path] = hub.blobs[value["oid"]]
        elif line["key"] == "deletedFile":
            if files.pop(path, None) is None:
                return Answer(404, {"error": f"no file {path}"}, {"X-Error-Code": "EntryNotFound"})
        else:
            files = {name: data for name, data in files.items() if not name.startswith(path)}
    oid = repo.add_commit(header["summary"], files)
    name = next(name for name, one in hub.repos.items() if one is repo)
    url = f"{hub.url}/{name}/commit/{oid}"
    return Answer(200, {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})


def _tag(hub: LoopbackHub, repo: Repo, revision: str, body: bytes) -> Answer:
    tag = json.loads(body)["tag"]
    if tag in repo.tags:
        return Answer(409, {"error": f"Tag reference {tag} exists already"})
    commit = repo.commit_of(revision)
    if commit is None:
        return Answer(404, None, {"X-Error-Code": "RevisionNotFound"})
    repo.tags[tag] = commit
    return Answer(200, {})


def _delete_tag(hub: LoopbackHub, repo: Repo, tag: str, body: bytes) -> Answer:
    gone = repo.tags.pop(tag, None)
    return Answer(200, {}) if gone else Answer(404, None, {"X-Error-Code": "RevisionNotFound"})


def _settings(hub: LoopbackHub, repo: Repo, revision: str, body: bytes) -> Answer:
    asked = json.loads(body)
    repo.gated = asked.get("gated", repo.gated)
    if "visibility" in asked:
        repo.private = asked["visibility"] == "private"
    return Answer(200, {"private": repo.private, "gated": repo.gated})


def _squash(hub: LoopbackHub, repo: Repo, revision: str, body: bytes) -> Answer:
    kept = {repo.tags[tag] for tag in repo.tags}  # what a tag names stays reachable
    repo.history = [one for one in repo.history if one[0] in kept]
    repo.put_commit("Super-squash branch 'main'")
    return Answer(200, {})


def _lfs_files(hub: LoopbackHub, repo: Repo, revision: str, body: bytes) -> Answer:
    return Answer(200, [
        {"fileOid": oid, "oid": oid, "filename": "x", "size": len(data),
         "pushedAt": "2026-01-01T00:00:00.000Z", "ref": "main"}
        for oid, data in hub.blobs.items()
    ])  # fmt: skip


def _lfs_delete(hub: LoopbackHub, repo: Repo, revision: str, body: bytes) -> Answer:
    for oid in json.loads(body)["deletions"]["sha"]:
        hub.blobs.pop(oid, None)
    return Answer(200, {})


def _refs(hub: LoopbackHub, repo: Repo, revision: str, body: bytes) -> Answer:
    def ref(kind: str, name: str, commit: str) -> dict[str, str]:
        return {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit}

    tags = [ref("tags", name, commit) for name, commit in repo.tags.items()]
    return Answer(
        200, {"branches": [ref("heads", "main", repo.commit)], "converts": [], "tags": tags}
    )


def _commits(hub: LoopbackHub, repo: Repo, revision: str, body: bytes) -> Answer:
    return Answer(200, [
        {"id": oid, "title": title, "message": "", "authors": [],
         "date": "2026-01-01T00:00:00.000Z"}
        for oid, title, _ in reversed(repo.history)
    ])  # fmt: skip


_OF_REPO: dict[str, Callable[[LoopbackHub, Repo, str, bytes], Answer]] = {
    "preupload": _preupload, "commit": _commit, "tag": _tag, "delete-tag": _delete_tag,
    "settings": _settings, "squash": _squash, "lfs-files": _lfs_files, "lfs-delete": _lfs_delete,
    "refs": _refs, "commits": _commits,
}  # fmt: skip


# -- reading -----------------------------------------------------------------------------------


def _tree(repo: Repo, commit: str, below: str, query: dict[str, list[str]]) -> Answer:
    recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
    prefix = f"{below.rstrip('/')}/" if below else ""
    entries: dict[str, dict[str, object]] = {}
    for path, content in sorted(repo.at(commit).items()):
        if not path.startswith(prefix):
            continue
        folders = path.removeprefix(prefix).split("/")[:-1]
        for depth in range(1, len(folders) + 1 if recursive else min(len(folders), 1) + 1):
            folder = prefix + "/".join(folders[:depth])
            entries[folder] = _folder(folder)
        if recursive or not folders:
            entries[path] = repo.entry(path, content)
    if below and not entries:
        return Answer(404, None, {"X-Error-Code": "EntryNotFound"})
    return Answer(200, list(entries.values()))


def _folder(path: str) -> dict[str, object]:
    return {"type": "directory", "path": path, "size": 0, "oid": git_oid(path.encode())}


def _paths_info(repo: Repo, commit: str, body: bytes) -> Answer:
    text = body.decode()
    asked = json.loads(text) if text.startswith("{") else urllib.parse.parse_qs(text)
    files = repo.at(commit)
    found = []
    for path in asked.get("paths", []):
        if path in files:
            found.append(repo.entry(path, files[path]))
        elif any(name.startswith(path.rstrip("/") + "/") for name in files) or path in ("", "."):
            found.append(_folder(path))
    return Answer(200, found)


def _info(repo: Repo, name: str, commit: str) -> Answer:
    facts = {
        "_id": "x", "id": name, "author": name.partition("/")[0], "sha": commit,
        "siblings": [{"rfilename": path} for path in sorted(repo.at(commit))],
        "gated": repo.gated, "private": repo.private, "disabled": False, "tags": [],
        "downloads": 0, "likes": 0,
        "lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    return Answer(200, facts)
