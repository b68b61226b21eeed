"""Interrupted anywhere, the same publish again ends with the same content, once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback.hub import ApiFault, Fault, LoopbackHub, Repo

from hub.small import CARD, REPO, TOKEN, cells, in_a_process, package, publish
from inscene.errors import BusyError, InsceneError, MachineError
from inscene.hub.package import Package
from inscene.hub.publish import MANIFEST

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<")  # of the hub's client
HERE = f"datasets/{REPO}"
KILLABLE = str(Path(__file__).with_name("killable.py"))
PASS = ApiFault()


@pytest.fixture(scope="module")
def made(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Not to be changed."""
    return package(scenes, tmp_path_factory.mktemp("staged"))


def require_whole(hub: LoopbackHub, made: Package, *, public: bool = True) -> Repo:
    """Every file with its content and no other, one commit for the data and one for the card."""
    repo = hub.repos[HERE]
    expected = {file.path: file.local.read_bytes() for file in made.staged.files}
    assert set(repo.files) == {
        *expected, MANIFEST, "README.md", "tombstones.json", ".gitattributes"
    }  # fmt: skip
    for path, content in expected.items():
        assert repo.files[path] == content
    assert repo.files["README.md"] == CARD
    assert repo.titles()[1:] == [f"12 rows, {made.content[:12]}", "Card"]
    assert list(repo.tags.values()) == [repo.commit]
    assert (repo.private, repo.gated) == (not public, "manual")
    return repo


class Victim:
    """A publish in a process of its own, which can be killed."""

    def __init__(self, hub: LoopbackHub, home: Path, *arguments: str) -> None:
        self._process = in_a_process(hub, home, *arguments)

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def end(self) -> int:
        _, err = self._process.communicate(timeout=100)
        assert TOKEN not in err
        return self._process.returncode


def killed_at(
    hub: LoopbackHub, tmp_path: Path, scenes: Path, faults: Callable[[Victim], None]
) -> None:
    arguments = (KILLABLE, str(scenes), str(tmp_path / "staged"))
    victims: list[Victim] = []

    class Later(Victim):
        def __init__(self) -> None: ...

        def kill(self) -> None:
            victims[0].kill()

    faults(Later())
    victims.append(Victim(hub, tmp_path / "home", *arguments))
    assert victims[0].end() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("moment", "stage", "which"),
    [
        ("after", "create", 0),
        ("before", "put", 0),
        ("after", "put", 2),
        ("before", "commit", 0),
        ("after", "commit", 0),
        ("before", "commit", 1),
        ("after", "commit", 1),
        ("after", "tag", 0),
        ("before", "settings", 1),
    ],
)
def test_killed(hub, scenes, made, tmp_path, moment: str, stage: str, which: int) -> None:
    def faults(victim: Victim) -> None:
        kill = ApiFault(drop=True, before=victim.kill) if moment == "before" else None
        hub.add_api_fault(stage, *[PASS] * which, kill or ApiFault(after=victim.kill))

    killed_at(hub, tmp_path, scenes, faults)
    arrived = {one.path for one in hub.requests if one.stage == "put" and one.status == 200}
    before = len(hub.requests)
    publish(made, public=True)
    require_whole(hub, made)
    again = {one.path for one in hub.requests[before:] if one.stage == "put"}
    assert not arrived & again  # what had arrived was not sent again


def test_killed_while_it_reads_back(hub, scenes, made, tmp_path) -> None:
    def faults(victim: Victim) -> None:
        hub.add_api_fault("tree", ApiFault(drop=True, before=victim.kill))

    killed_at(hub, tmp_path, scenes, faults)
    assert "README.md" not in hub.repos[HERE].files
    assert hub.repos[HERE].private
    publish(made, public=True)
    require_whole(hub, made)


def test_killed_while_staging(hub, scenes, tmp_path) -> None:
    folder = tmp_path / "staged"
    victim = Victim(hub, tmp_path / "home", KILLABLE, str(scenes), str(folder), "2")
    assert victim.end() == -signal.SIGKILL
    assert hub.requests == []
    made = package(scenes, folder)
    assert [path for path in folder.rglob("*") if path.suffix == ".part"] == []
    publish(made, public=True)
    repo = require_whole(hub, made)
    for path, content in repo.files.items():
        if path.startswith("data/"):
            (tmp_path / Path(path).name).write_bytes(content)
    assert len(cells(sorted(tmp_path.glob("*.parquet")))) == 12


def test_killed_everywhere_in_a_row(hub, scenes, made, tmp_path) -> None:
    """The command itself, killed at one stage after the other of the same publish."""
    arguments = ("-m", "inscene", "publish", str(scenes), "--repo", REPO, "--public",
                 "--contact", "me@home.org", "--allow-unknown-licence", "--allow-unknown-consent",
                 "--file-mb", "1")  # fmt: skip
    running: list[Victim] = []
    for stage in ("put", "commit", None):
        if stage is not None:
            hub.add_api_fault(stage, ApiFault(after=lambda: running[-1].kill()))
        running.append(Victim(hub, tmp_path / "home", *arguments))
        assert running[-1].end() == (0 if stage is None else -signal.SIGKILL), stage
    repo = hub.repos[HERE]
    assert len(repo.titles()) == 3
    assert (repo.private, repo.gated) == (False, "manual")
    (path,) = (path for path in repo.files if path.startswith("data/"))
    (tmp_path / "back.parquet").write_bytes(repo.files[path])
    assert cells([tmp_path / "back.parquet"]) == cells(sorted(scenes.glob("data/*.parquet")))
    assert list((tmp_path / "home/cache").rglob("*.parquet")) == []


STAGES = ["create", "revision", "tree", "refs", "preupload", "lfs-batch", "put", "lfs-verify",
          "commit", "validate-yaml", "tag", "settings"]  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
def test_a_busy_hub_is_asked_again(hub, made, stage: str) -> None:
    hub.add_api_fault(stage, ApiFault(429, retry_after_s=0), ApiFault(503))
    publish(made, public=True)
    require_whole(hub, made)


def test_the_wait_that_the_hub_asks_for(hub, made, monkeypatch) -> None:
    import time

    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    hub.add_api_fault("commit", ApiFault(429, retry_after_s=77))
    publish(made)
    assert 77 in slept


@pytest.mark.parametrize("stage", STAGES)
def test_lost_connections(hub, made, stage: str) -> None:
    """Before it was done, and after it was done but not answered."""
    hub.add_api_fault(stage, ApiFault(drop=True), ApiFault(lose_answer=True))
    publish(made, public=True)
    require_whole(hub, made)


@pytest.mark.parametrize("which", [0, 1])
def test_an_accepted_commit_whose_answer_is_lost_is_not_made_twice(hub, made, which: int) -> None:
    hub.add_api_fault("commit", *[PASS] * which, ApiFault(lose_answer=True))
    done = publish(made, public=True)
    repo = require_whole(hub, made)
    assert done.commit == repo.commit
    assert len([one for one in hub.requests if one.stage == "commit"]) == 2


@pytest.mark.parametrize("which", [0, 1])
def test_somebody_else_commits_meanwhile(hub, made, which: int) -> None:
    """A stale parent: theirs is not overwritten unseen, and the same command again goes on."""

    def intrude() -> None:
        repo = hub.repos[HERE]
        repo.add_commit("theirs", {**repo.files, "NOTES.md": b"theirs"})

    hub.add_api_fault("commit", *[PASS] * which, ApiFault(before=intrude))
    with pytest.raises(BusyError, match="somebody else has changed"):
        publish(made, public=True)
    repo = hub.repos[HERE]
    assert repo.private
    assert 412 in {one.status for one in hub.requests}
    publish(made, public=True)
    assert repo.files["NOTES.md"] == b"theirs"
    assert repo.files["README.md"] == CARD
    for file in made.staged.files:
        assert repo.files[file.path] == file.local.read_bytes()
    assert sorted(repo.titles()[1:]) == sorted([f"12 rows, {made.content[:12]}", "Card", "theirs"])


def test_the_same_was_published_by_somebody_else_meanwhile(hub, made, scenes, tmp_path) -> None:
    other = package(scenes, tmp_path / "other")

    def overtake() -> None:
        publish(other, public=True)

    hub.add_api_fault("commit", ApiFault(before=overtake))
    publish(made, public=True)
    require_whole(hub, made)


@pytest.mark.parametrize(
    ("stage", "status", "says"),
    [("create", 403, "hf auth login"), ("preupload", 401, "hf auth login"), ("put", 413, "quota"),
     ("commit", 403, "hf auth login"), ("commit", 413, "quota"), ("tag", 403, "hf auth login"),
     ("settings", 402, "quota")],
)  # fmt: skip
def test_refusals_of_the_hub(hub, made, stage: str, status: int, says: str) -> None:
    """In its words, but for the token that it repeats."""
    fault = ApiFault(status, b'{"error": "the quota of {token} is full"}')
    hub.add_api_fault(stage, *[fault] * 10)
    with pytest.raises(MachineError, match=rf"{status}.*{says}") as caught:
        publish(made, public=True)
    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    hub.api_faults.clear()
    publish(made, public=True)
    require_whole(hub, made)


def test_a_hub_that_stays_busy(hub, made) -> None:
    hub.add_api_fault("commit", *[ApiFault(503)] * 20)
    with pytest.raises(MachineError, match=r"busy \(503\).*same command again"):
        publish(made)


def test_a_file_that_ends_early_on_its_way_back(hub, made) -> None:
    hub.add_fault(made.staged.files[0].path, Fault(send_bytes=1000))
    publish(made, public=True)
    require_whole(hub, made)


def test_a_card_that_the_hub_refuses(hub, made) -> None:
    from dataclasses import replace

    bad = replace(made, card=b"---\nlicense: other\n---\n")
    with pytest.raises(InsceneError, match="license_name"):
        publish(bad, public=True)
    assert hub.repos[HERE].private
    publish(made, public=True)
    require_whole(hub, made)
