"""`inscene doctor`: what is here, what is not, and what each command would need."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from cli_imports import imported_by, running

from inscene import __version__
from inscene.doctor.machine import Machine, look
from inscene.doctor.needs import State, judge, load_commands
from inscene.weights.manifest import load_manifest

GB = 10**9


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "weights"))


def machine(**facts: object) -> Machine:
    usual = {"python": "3.11.7", "system": "Linux", "cpus": 2, "ram_bytes": 32 * GB,
             "ram_free_bytes": 16 * GB, "disk_free_bytes": 500 * GB, "gpus": ()}  # fmt: skip
    return Machine(**(usual | facts))  # type: ignore[arg-type]


def test_as_json(inscene) -> None:
    facts = json.loads(inscene("doctor", "--json").stdout)
    assert facts["inscene"] == __version__
    assert facts["machine"]["cpus"] >= 1
    assert facts["machine"]["ram_bytes"] > facts["machine"]["ram_free_bytes"] > 0
    assert facts["weights"]["here"] == []
    commands = {one["command"]: one for one in facts["commands"]}
    assert commands["degrade"]["state"] == "ready"
    assert commands["bench"]["state"] == "does less"
    synthetic = commands["build synthetic"]
    assert "flux.1-dev" in synthetic["missing_weights"]
    assert synthetic["download_bytes"] > 40 * GB
    assert any("non-commercial" in one.lower() or "NC" in one for one in synthetic["licences"])


def test_for_people(inscene) -> None:
    text = inscene("doctor").stdout
    for part in ("Python", "RAM", "GPU", "build synthetic", "gated"):
        assert part in text


def test_neither_torch_nor_ray_is_imported() -> None:
    heavy = {"torch", "ray", "diffusers", "pandas", "pyarrow", "cv2", "datasets", "numpy", "scipy"}
    assert not imported_by(running(["doctor"])) & heavy


def test_a_gpu_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the driver's own tool prints."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA RTX A6000, 49140, 550.54'\necho 'T4, 15360, 550.54'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    first, second = look(tmp_path / "not" / "there").gpus
    assert (first.name, first.memory_bytes, second.driver) == (
        "NVIDIA RTX A6000", 49140 * 2**20, "550.54",
    )  # fmt: skip


def test_a_gpu_whose_memory_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GB10, [N/A], 580'\necho 'H100, 81559, 580'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert [gpu.memory_bytes for gpu in look(tmp_path).gpus] == [None, 81559 * 2**20]


@pytest.mark.parametrize("text", ["exit 9", "echo 'No devices were found'"])
def test_a_driver_that_does_not_answer(tmp_path, monkeypatch, text: str) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{text}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert look(tmp_path).gpus == ()


def verdict(command: str, at: Machine):
    (found,) = (
        one for one in judge(load_commands(), at, load_manifest()) if one.command == command
    )
    return found


def test_a_gpu_that_is_too_small() -> None:
    from inscene.doctor.machine import Gpu

    small, large = (machine(gpus=(Gpu("x", gb * GB, "1"),)) for gb in (16, 48))
    lacking = verdict("build synthetic", small)
    assert lacking.state is State.CANNOT
    assert "a GPU with 24 GB" in lacking.lacks
    assert not any("GPU" in one for one in verdict("build synthetic", large).lacks)
    assert "a GPU with 24 GB" in verdict("build synthetic", machine()).lacks


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from inscene.doctor import needs

    monkeypatch.setattr(needs, "version_of", lambda package: None if package == "rawpy" else "1")
    raw = verdict("build raw", machine())
    assert (raw.state, raw.missing_packages) == (State.CANNOT, ("rawpy",))
    assert raw.next_steps == ("pip install 'inscene[raw]'",)


def test_too_little_disk() -> None:
    assert "of disk" in " ".join(verdict("build synthetic", machine(disk_free_bytes=10 * GB)).lacks)


def test_with_its_weights_a_command_lacks_nothing(tmp_path: Path, monkeypatch) -> None:
    manifest = load_manifest()
    for weight in manifest.with_needs(one.name for one in manifest.for_use("bench")):
        for file in weight.files:
            path = tmp_path / "weights" / weight.name / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                stream.truncate(file.about_bytes)  # sparse; its hash is a matter of its use
    bench = verdict("bench", machine())
    assert bench.missing_weights == ()
    assert bench.state is State.READY
