"""`inscene weights …` as a user types it, against a hub on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback.hub import Fault, LoopbackHub
from loopback.published import LICENCE, body, known

ONE, BIG = body(1), body(2, 2_000_000)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """Publishes two models for `bench`, one of them gated, and one for `restore`."""
    with LoopbackHub() as running:
        for name, value in running.environment(tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HF_TOKEN", "hf_canary")
        monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "weights"))
        running.add_repo("org/net", {"net.safetensors": ONE})
        running.add_repo("org/gated", {"big.safetensors": BIG}, gated=True)
        running.releases["r.pth"] = ONE
        manifest: dict[str, Any] = {
            "net": {"for": ["bench"], "repo": "org/net", "files": [known("net.safetensors", ONE)]},
            "gated": {
                "for": ["bench"],
                "repo": "org/gated",
                "gated": True,
                "needs": ["release"],
                "files": [{"path": "big.safetensors", "about_mb": 2}],
            },
            "release": {
                "for": ["restore"],
                "files": [known("r.pth", ONE, url=f"{running.url}/releases/r.pth")],
            },
        }
        full = {
            name: {"about": "A net", "licence": LICENCE} | one for name, one in manifest.items()
        }
        (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(full, sort_keys=False))
        monkeypatch.setenv("INSCENE_WEIGHTS_MANIFEST", str(tmp_path / "manifest.yaml"))
        yield running


def test_from_nothing_to_verified(hub: LoopbackHub, inscene, tmp_path: Path) -> None:
    before = json.loads(inscene("weights", "list", "--json").stdout)
    assert [(one["name"], one["here"]) for one in before] == [
        ("net", False), ("gated", False), ("release", False),
    ]  # fmt: skip
    pulled = inscene("weights", "pull", "--for", "bench")
    assert pulled.stdout.splitlines() == [
        "net: 1 fetched", "release: 1 fetched", "gated: 1 fetched",
    ]  # fmt: skip
    assert "licence: MIT, anyone, for anything" in pulled.stderr
    assert "hf_canary" not in pulled.stdout + pulled.stderr
    after = json.loads(inscene("weights", "list", "--json", "--for", "bench").stdout)
    assert all(one["here"] for one in after)
    (file,) = next(one for one in after if one["name"] == "gated")["files"]
    assert (file["state"], file["sha256"]) == ("here", known("", BIG)["sha256"])  # pinned
    folder = Path(inscene("weights", "where", "net").stdout.strip())
    assert folder == tmp_path / "weights" / "net"
    assert (folder / "net.safetensors").read_bytes() == ONE
    assert "3 files here, 3 sound" in inscene("weights", "verify").stdout
    again = inscene("weights", "pull", "net", "gated")
    assert "1 already here" in again.stdout


def test_verify_finds_what_has_changed(hub: LoopbackHub, inscene, tmp_path: Path) -> None:
    inscene("weights", "pull", "net", "release")
    (tmp_path / "weights/net/net.safetensors").write_bytes(body(3))
    done = inscene("weights", "verify", "--json", code=5)
    verdicts = {one["weight"]: one["problem"] for one in json.loads(done.stdout)}
    assert verdicts["release"] is None
    assert "not the file it should be" in verdicts["net"]
    assert "1 sound" in inscene("weights", "verify", code=5).stdout


def test_one_that_fails_does_not_cost_the_others(hub: LoopbackHub, inscene) -> None:
    hub.add_fault("net.safetensors", Fault(404, methods=("HEAD",)))
    done = inscene("weights", "pull", "net", "gated", code=4)
    assert "net: there is no such file" in done.stderr
    assert "gated: 1 fetched" in done.stdout


def test_kill_9_and_again(hub: LoopbackHub, inscene, tmp_path: Path) -> None:
    hub.add_fault("big.safetensors", Fault(send_bytes=1_500_000, hang=True))
    command = [sys.executable, "-m", "inscene", "weights", "pull", "gated"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = tmp_path / "weights" / "gated"
    part = folder / "big.safetensors.part"
    until = time.monotonic() + 60
    while not part.exists() or part.stat().st_size < 1_000_000:
        assert time.monotonic() < until
        assert running.poll() is None
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    came = part.stat().st_size
    assert not (folder / "big.safetensors").exists()
    inscene("weights", "pull", "gated")
    assert (folder / "big.safetensors").read_bytes() == BIG
    assert hub.gets("big.safetensors")[-1].range == f"bytes={came}-"


def test_through_a_proxy(hub: LoopbackHub, inscene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's name leads nowhere: all of it goes through the proxy, which knows the way."""
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("HTTP_PROXY", hub.url)
    monkeypatch.delenv("NO_PROXY")
    assert "net: 1 fetched" in inscene("weights", "pull", "net").stdout
    assert all(request.path.startswith("http://hub.invalid/") for request in hub.requests)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_that_nobody_vouches_for(
    hub: LoopbackHub, inscene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
         str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    hub.use_tls(tmp_path / "cert.pem", tmp_path / "key.pem")
    address = hub.url.replace("http://", "https://")
    monkeypatch.setenv("HF_ENDPOINT", address)
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace(hub.url, address))
    for name in ("net", "release"):
        done = inscene("weights", "pull", name, code=4)
        assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
        assert "SSL_CERT_FILE" in done.stderr
    assert hub.requests == []
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    inscene("weights", "pull", "net", "release")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["pull"], 2, "name the weights"),
        (["pull", "net", "--for", "bench"], 2, "name the weights"),
        (["pull", "nett"], 2, "Did you mean 'net'"),
        (["pull", "--for", "inspect"], 2, "no command 'inspect' needs weights"),
        (["where", "nett"], 2, "Did you mean 'net'"),
        (["verify", "nett"], 2, "Did you mean 'net'"),
        (["list", "--for", "x"], 2, "Known: bench, restore"),
    ],
)
def test_mistakes(hub: LoopbackHub, inscene, arguments: list[str], code: int, says: str) -> None:
    assert says in inscene("weights", *arguments, code=code).stderr
