"""The order of a publish, in which every moment leaves something sound.

verify → refuse → stage → create (private) → send → read back by commit → card → tag → gate → show.
Killed anywhere, the same command goes on: staged files are reused, sent contents are not sent
again, a commit that is there is not made again.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from inscene.errors import UsageError, VerificationError
from inscene.hub import check, upload
from inscene.hub.client import asked, connect, no_bars
from inscene.hub.package import CARD, DEFAULT, Package, Wanted, wanted_file, wanted_text
from inscene.hub.remote import KIND, Remote, files_at, head, look, where

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MANIFEST = "inscene.json"
"""In the repository: the files that belong to the dataset. Only those are ever removed."""

Started = Callable[[str, int, int], Callable[[int], None]]
"""Told what begins, how many bytes it is and how many are done; gives what to call with more."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Goal:
    """Where a package goes, and how it is shown there."""

    repo: str
    public: bool = False
    gated: bool | None = None
    """Whether readers must ask first. None: where the rows are photographs of real people."""
    tag: str | None = None
    """None: ``data-`` and the beginning of the rows' hash."""
    replace: bool = False
    """Whether files may be removed that inscene did not put there."""
    read_back: int | None = 1
    """Files of each split that are fetched again and compared; None: all."""
    erase_history: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", self.repo):
            raise UsageError(
                "is no name of a repository", where=f"--repo {self.repo}",
                next_step="Write ORG/NAME, or your own name and NAME.",
            )  # fmt: skip


@dataclass
class Outcome:
    """What was done, or would be."""

    repo: str
    url: str
    rows: int
    splits: dict[str, int]
    bytes: int
    """Of all files of the version."""
    send: dict[str, int] = field(default_factory=dict)
    """Path -> bytes."""
    delete: list[str] = field(default_factory=list)
    unchanged: int = 0
    commits: int = 0
    commit: str | None = None
    tag: str | None = None
    private: bool = True
    gated: bool = False
    dry_run: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Plan:
    data: upload.Change
    card: upload.Change
    wanted: dict[str, Wanted]
    tag: str
    gated: bool

    @property
    def all(self) -> dict[str, Wanted]:
        return {**self.wanted, CARD: self.card_text}

    card_text: Wanted = field(kw_only=True)


def staging_folder(repo: str, given: Path | None = None) -> Path:
    """Where the files for a repository are staged."""
    cache = os.environ.get("XDG_CACHE_HOME")
    base = given or (Path(cache) if cache else Path.home() / ".cache") / "inscene" / "publish"
    return base / repo.replace("/", "--")


def manifest(package: Package) -> bytes:
    """Of the files of a version: what a reader can check a copy against."""
    files = [
        {"path": file.path, "bytes": file.bytes, "sha256": file.sha256, "rows": file.rows,
         "split": file.split, "config": file.config}
        for file in package.staged.files
    ]  # fmt: skip
    facts = {
        "kind": package.staged.kind, "table_hash": package.content, "files": files,
        "beside": sorted(package.texts),
    }  # fmt: skip
    return (json.dumps(facts, indent=1) + "\n").encode()


def rehearse(package: Package, goal: Goal) -> Outcome:
    """What :func:`send` would do now; the Hub is only asked, and only where somebody is logged
    in."""
    try:
        api = connect()
    except Exception as error:
        plan, remote = _plan(None, package, goal, set()), None
        outcome = _outcome(package, goal, plan, remote)
        outcome.notes.append(f"The Hub was not asked what it has: {error}")
    else:
        remote = look(api, goal.repo)
        plan = _plan(remote, package, goal, _published_before(api, goal.repo, remote))
        _require_free_tag(api, goal, plan, remote)
        outcome = _outcome(package, goal, plan, remote)
    outcome.dry_run = True
    return outcome


def send(package: Package, goal: Goal, started: Started, say: Say) -> Outcome:
    """Bring the package to the Hub, or what of it is not there yet."""
    with no_bars():
        return _send(package, goal, started, say)


def _send(package: Package, goal: Goal, started: Started, say: Say) -> Outcome:
    api, repo = connect(), goal.repo
    remote = look(api, repo)
    plan = _plan(remote, package, goal, _published_before(api, repo, remote))
    _require_free_tag(api, goal, plan, remote)
    outcome = _outcome(package, goal, plan, remote)
    if remote is None:
        say(f"creating {where(repo)}, private")
        asked(where(repo), lambda: api.create_repo(
            repo, repo_type=KIND, private=True, exist_ok=True))  # fmt: skip
        at, private, gated = head(api, repo), True, False
    else:
        at, private, gated = remote.commit, remote.private, remote.gated
    new = bool(plan.data or plan.card)
    size = plan.data.bytes + plan.card.bytes
    sent = started("upload", size, 0) if size else lambda _: None
    if plan.data:
        title = f"{package.staged.rows} rows, {package.content[:12]}"
        at = upload.send(api, repo, plan.data, at, title, sent)
        outcome.commits += 1
    _require_sound(api, goal, package, plan, at, new)
    if plan.card:
        at = upload.send(api, repo, plan.card, at, "Card", sent)
        outcome.commits += 1
    if goal.erase_history:
        at = _erase_history(api, repo, plan, at, say)
    _tag(api, goal, plan, at, outcome)
    if gated != plan.gated:
        mode: Literal["manual", False] = "manual" if plan.gated else False
        asked(where(repo), lambda: api.update_repo_settings(
            repo, gated=mode, repo_type=KIND))  # fmt: skip
    if goal.public and private:
        asked(where(repo), lambda: api.update_repo_settings(repo, private=False, repo_type=KIND))
        private = False
    outcome.commit, outcome.private, outcome.gated = at, private, plan.gated
    return outcome


# -- deciding ----------------------------------------------------------------------------------


def _published_before(api: HfApi, repo: str, remote: Remote | None) -> set[str]:
    """Paths that an earlier publish has put there."""
    if remote is None or MANIFEST not in remote.files:
        return set()
    with tempfile.TemporaryDirectory(prefix="inscene-") as folder:
        content = Path(check.fetch(api, repo, MANIFEST, remote.commit, folder)).read_bytes()
    try:
        facts = json.loads(content)
        paths = [str(one["path"]) for one in facts["files"]] + [str(p) for p in facts["beside"]]
    except (ValueError, TypeError, KeyError):
        return set()
    return {MANIFEST, CARD, *paths}


def _plan(remote: Remote | None, package: Package, goal: Goal, before: set[str]) -> _Plan:
    texts = {**package.texts, MANIFEST: manifest(package)}
    wanted = {file.path: wanted_file(file) for file in package.staged.files}
    wanted |= {path: wanted_text(content) for path, content in texts.items()}
    card = wanted_text(package.card)
    there = remote.files if remote else {}
    foreign = set(check.strangers(there, {**wanted, **dict.fromkeys(before)}))
    if CARD in there and not before:
        foreign.add(CARD)
    if foreign and not goal.replace:
        some = ", ".join(sorted(foreign)[:3])
        raise UsageError(
            f"holds {len(foreign)} files that inscene did not put there", where=where(goal.repo),
            why=f"Beside the dataset's rows a reader would find: {some}.",
            next_step="Choose another --repo, or let them be removed: --replace",
        )  # fmt: skip
    obsolete = (before | foreign) - {CARD}
    return _Plan(
        upload.change(there, wanted, obsolete),
        upload.change(there, {CARD: card}, set()),
        wanted,
        goal.tag or f"data-{package.content[:12]}",
        package.real_people if goal.gated is None else goal.gated,
        card_text=card,
    )


def _require_free_tag(api: HfApi, goal: Goal, plan: _Plan, remote: Remote | None) -> None:
    """A tag that was asked for must be free, or name this very version: tags are not moved."""
    if goal.tag is None or remote is None or goal.erase_history:
        return
    at = remote.tags.get(goal.tag)
    if at is None:
        return
    files = asked(where(goal.repo), lambda: files_at(api, goal.repo, at))
    if upload.change(files, plan.all, set()):
        raise UsageError(
            "is the name of another version already", where=f"--tag {goal.tag}",
            next_step="Choose another; a tag is not moved.",
        )  # fmt: skip


def _outcome(package: Package, goal: Goal, plan: _Plan, remote: Remote | None) -> Outcome:
    staged = package.staged
    add = {**plan.data.add, **plan.card.add}
    notes = []
    if remote and plan.data and not goal.erase_history and package.has_forgotten:
        notes.append(
            "Older versions on the Hub still hold what was forgotten since. To remove them, and "
            "their tags, for good: --erase-history"
        )
    return Outcome(
        repo=goal.repo,
        url=where(goal.repo),
        rows=staged.rows,
        splits=staged.splits(),
        bytes=sum(one.bytes for one in plan.all.values()),
        send={path: one.bytes for path, one in add.items()},
        delete=list(plan.data.delete),
        unchanged=plan.data.unchanged + plan.card.unchanged,
        tag=plan.tag,
        private=not goal.public and (remote is None or remote.private),
        gated=plan.gated,
        notes=notes,
    )


# -- doing -------------------------------------------------------------------------------------


def _require_sound(
    api: HfApi, goal: Goal, package: Package, plan: _Plan, at: str, new: bool
) -> None:
    problems = check.problems_at(api, goal.repo, at, plan.wanted)
    if not problems and new:
        chosen: list[str] = []
        for split in package.staged.splits():
            of_split = [
                file.path
                for file in package.staged.files
                if (file.split, file.config) == (split, DEFAULT)
            ]
            chosen += of_split[: goal.read_back]
        problems = check.read_back(api, goal.repo, at, chosen, plan.wanted)
    if problems:
        raise VerificationError(
            f"what is on the Hub is not what was sent: {problems[0]}", where=where(goal.repo),
            why=f"{len(problems)} files of commit {at[:12]} differ. The card was not sent, and "
            "nothing was made public.",
            next_step="Run the same command again: what differs is sent again.",
        )  # fmt: skip


def _tag(api: HfApi, goal: Goal, plan: _Plan, at: str, outcome: Outcome) -> None:
    """A tag that exists was checked before, or is that of the same rows."""
    asked(where(goal.repo), lambda: api.create_tag(
        goal.repo, tag=plan.tag, revision=at, repo_type=KIND, exist_ok=True))  # fmt: skip
    outcome.tag = plan.tag


def _erase_history(api: HfApi, repo: str, plan: _Plan, at: str, say: Say) -> str:
    """Leave one commit, and no content but its own. Tags of older versions go: they hold them."""
    say("erasing older versions")
    refs = asked(where(repo), lambda: api.list_repo_refs(repo, repo_type=KIND))
    for tag in refs.tags:
        asked(where(repo), lambda name=tag.name: api.delete_tag(  # type: ignore[misc]
            repo, tag=name, repo_type=KIND))  # fmt: skip
    asked(where(repo), lambda: api.super_squash_history(repo, repo_type=KIND))
    at = head(api, repo)
    kept = {one.sha256 for one in plan.all.values()}
    files: list[Any] = asked(where(repo), lambda: list(api.list_lfs_files(repo, repo_type=KIND)))
    if gone := [file for file in files if file.oid not in kept]:
        asked(where(repo), lambda: api.permanently_delete_lfs_files(
            repo, gone, rewrite_history=True, repo_type=KIND))  # fmt: skip
        at = head(api, repo)
    return at
