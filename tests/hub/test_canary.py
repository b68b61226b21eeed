"""A token is nowhere but in its own file: a publish that goes well, badly, is killed, and that logs
all it can, leaves it on no stream, in no file, no argument and no environment."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from loopback.hub import ApiFault, LoopbackHub

from hub.doctored import doctored
from hub.small import REPO, TOKEN, package, publish
from inscene.dataset.ledger import Ledger
from inscene.dataset.store import LocalStore
from inscene.errors import InsceneError

CANARY = "hf_" + "Qz7" * 12 + "END"
CONTACT = "me@example.org"
LOUD = """
import logging, sys
logging.basicConfig(level=0, filename=sys.argv.pop(1))
from inscene.cli import main
main()
"""
"""The command line, with every logger of every library writing all it has to a file."""
ECHO = b'{"error": "not with Authorization: Bearer {token}", "token": "{token}"}'


@dataclass
class Watch:
    """A user's machine: home, login, temporary folder, and what was seen of its processes."""

    home: Path
    dataset: Path
    hub: LoopbackHub
    seen: list[str] = field(default_factory=list)
    """Arguments and environments of the command and of all below it."""
    said: list[str] = field(default_factory=list)

    @property
    def login(self) -> Path:
        return self.home / "hf" / "token"

    def start(self, *more: str) -> subprocess.Popen[str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        environment = {
            **inherited, **self.hub.environment(self.home / "hf"),
            "HF_HUB_VERBOSITY": "debug", "HF_DEBUG": "1", "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"), "TMPDIR": str(self.home / "tmp"),
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-c", LOUD, str(self.home / "all.log"), "publish", str(self.dataset),
             "--repo", REPO, "--contact", CONTACT, "--allow-unknown-licence",
             "--allow-unknown-consent", *more],
            env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=self.home,
        )  # fmt: skip

    def run(self, *more: str) -> int:
        return self.end(self.start(*more))

    def end(self, process: subprocess.Popen[str]) -> int:
        self.said += process.communicate(timeout=100)
        return process.returncode

    def look(self) -> None:
        """At the processes that run now."""
        for child in psutil.Process().children(recursive=True):
            for ask in (child.cmdline, child.environ):
                try:
                    self.seen.append(repr(ask()))
                except psutil.Error:
                    continue

    def look_at(self, *stages: str) -> None:
        for stage in stages:
            self.hub.add_api_fault(stage, ApiFault(before=self.look))

    def places(self) -> list[str]:
        """Where the canary is."""
        token = CANARY.encode()
        found = [f"output {n}" for n, text in enumerate(self.said) if CANARY in text]
        found += [f"process {n}" for n, text in enumerate(self.seen) if CANARY in text]
        for path in self.home.rglob("*"):
            if path != self.login and path.is_file() and token in path.read_bytes():
                found.append(str(path))
        for name, repo in self.hub.repos.items():
            found += [f"{name}/{path}" for path, data in repo.files.items() if token in data]
            found += [f"commit {title}" for _, title, _ in repo.history if CANARY in title]
        found += [f"blob {oid}" for oid, data in self.hub.blobs.items() if token in data]
        found += [one.path for one in self.hub.requests if CANARY in one.path]
        return found


@pytest.fixture
def watch(tmp_path: Path, scenes: Path) -> Iterator[Watch]:
    home = tmp_path / "home"
    for name in ("hf", "tmp"):
        (home / name).mkdir(parents=True)
    shutil.copytree(scenes, home / "scenes")
    with LoopbackHub() as hub:
        made = Watch(home, home / "scenes", hub)
        made.login.write_text(CANARY)
        yield made


def was_used(watch: Watch) -> bool:
    """Whether the server was really given it: else its absence shows nothing."""
    return any(CANARY in str(one.token) for one in watch.hub.requests)


def test_a_publish_that_goes_well(watch: Watch) -> None:
    watch.look_at("create", "preupload", "put", "commit", "tag", "settings")
    assert watch.run("--public") == 0, watch.said
    assert f"datasets/{REPO}" in watch.hub.repos
    assert len(watch.seen) >= 6
    assert was_used(watch)
    assert (watch.home / "all.log").stat().st_size > 1000
    assert watch.places() == []


def test_a_hub_that_repeats_what_it_was_sent(watch: Watch) -> None:
    watch.hub.add_api_fault("commit", ApiFault(status=403, body=ECHO))
    assert watch.run() == 4
    assert "Bearer [secret]" in watch.said[1]
    assert was_used(watch)
    assert watch.places() == []


@pytest.mark.filterwarnings("ignore:Use 'content=<")
@pytest.mark.parametrize("status", [403, 400, 503])
@pytest.mark.parametrize("stage", ["create", "preupload", "lfs-batch", "commit", "tag"])
def test_errors_and_tracebacks(
    stage: str, status: int, scenes: Path, tmp_path: Path, hub: LoopbackHub,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The whole of it, as an uncaught one would be printed; and what was logged before."""
    caplog.set_level(0)
    hub.add_api_fault(stage, *[ApiFault(status=status, body=ECHO)] * 60)
    with pytest.raises(InsceneError) as caught:
        publish(package(scenes, tmp_path / "staged"), tag="v1")
    told = "".join(traceback.format_exception(caught.value))
    assert "the Hub" in told
    assert TOKEN not in told + caplog.text + repr(caught.value.args)
    assert any(one.token and TOKEN in one.token for one in hub.requests)


def test_a_publish_that_is_interrupted(watch: Watch) -> None:
    started: list[subprocess.Popen[str]] = []
    watch.hub.add_api_fault(
        "commit", ApiFault(before=lambda: started[0].send_signal(signal.SIGINT))
    )
    started.append(watch.start())
    assert watch.end(started[0]) != 0
    assert watch.places() == []


def test_a_token_in_the_data_stops_it_and_is_not_shown(watch: Watch, scenes: Path) -> None:
    """The login's own, in a dataset that is sound."""

    shutil.rmtree(watch.dataset)
    place = watch.home.parent / "elsewhere"
    doctored(scenes, place, lambda i, row: row.update(prompt=CANARY) if i == 3 else None)
    for shard in Ledger(LocalStore(place)).shards():
        record = place / shard.record_file
        facts = json.loads(record.read_text())
        content = (place / shard.data_file).read_bytes()
        facts["files"][shard.data_file]["sha256"] = hashlib.sha256(content).hexdigest()
        record.write_text(json.dumps(facts))
    watch.dataset = place
    assert watch.run() == 2
    assert "secrets: 03.png, prompt" in watch.said[1]
    assert not watch.hub.repos
    assert watch.places() == []


def test_what_would_find_it_finds_it(watch: Watch) -> None:
    """Of this file's own tests: a token in the environment and in a file is seen."""
    (watch.home / "note.txt").write_text(f"my token is {CANARY}")
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "input()", CANARY], stdin=subprocess.PIPE, env={"HF_TOKEN": CANARY}
    )
    watch.look()
    sleeper.communicate(b"\n")
    found = watch.places()
    assert str(watch.home / "note.txt") in found
    assert len([one for one in found if one.startswith("process")]) == 2


RAY = """
import json, os, sys
import psutil, ray
from inscene.engine.ray_pool import connect

assert connect(ray, None)
there = os.environ.get("HF_TOKEN") is not None
inside = ray.get(ray.remote(lambda: dict(os.environ)).remote())
below = []
for child in psutil.Process().children(recursive=True):
    try:
        below.append([child.environ(), child.cmdline()])
    except psutil.Error:
        pass
print(json.dumps([there, len(below), inside, below]))
ray.shutdown()
"""


@pytest.mark.ray
def test_rays_environment(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the Ray executor needs Ray (extra: cluster)")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RAY],
        env={**os.environ, "HF_TOKEN": CANARY, "HUGGING_FACE_HUB_TOKEN": CANARY},
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[true, "), "the process itself keeps it"
    assert int(done.stdout.split(",")[1]) > 1
    assert CANARY not in done.stdout + done.stderr
