"""The shipped manifest holds together; mistakes in one are named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from inscene.doctor.needs import load_commands
from inscene.errors import RecipeError, UsageError
from inscene.weights.manifest import load_manifest

LEARNED = ["lpips", "dists", "fid-inception", "musiq", "clip-rn50", "maniqa", "liqe", "topiq-nr"]


def test_what_the_issue_of_weights_asks_for_is_there() -> None:
    manifest = load_manifest()
    for name in ["yolov8n-face", "yolov8m-face", "buffalo_l", "antelopev2", "ir-se-50",
                 "flux.1-dev", "infiniteyou-sim", "antiblur-lora", "sd-turbo", "dino-vitb16",
                 "faceme", "ram-plus", "lpips-vgg", *LEARNED]:  # fmt: skip
        weight = manifest[name]
        assert weight.about
        assert weight.licence.allows
        assert weight.download_bytes > 0, name


def test_what_a_command_needs_brings_what_that_needs() -> None:
    manifest = load_manifest()
    names = [one.name for one in manifest.with_needs(w.name for w in manifest.for_use("bench"))]
    assert set(LEARNED) < set(names)
    assert names.index("vgg16-imagenet") < names.index("dists")
    assert len(names) == len(set(names))
    assert manifest.for_use("build synthetic") == manifest.for_use("synthetic")
    with pytest.raises(UsageError, match="Did you mean 'bench'"):
        manifest.for_use("bensh")


def test_every_use_is_a_command() -> None:
    commands = {command.name for command in load_commands()}
    assert set(load_manifest().uses) <= commands


def test_names_of_the_bench_are_those_that_pyiqa_looks_for() -> None:
    """Read from the installed package, so that a new version of it cannot pass unnoticed."""
    script = """
import pathlib, pyiqa.archs, json
print("".join(p.read_text() for p in pathlib.Path(pyiqa.archs.__file__).parent.glob("*.py")))
"""
    pytest.importorskip("pyiqa", reason="extra: bench")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True
    )
    manifest = load_manifest()
    for name in [*LEARNED, "lpips-vgg", "maniqa-pipal"]:
        for file in manifest[name].files:
            assert file.path in done.stdout, file.path


def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **facts: object) -> None:
    weight = {
        "about": "x",
        "for": ["bench"],
        "licence": {"name": "MIT", "allows": "all", "commercial": "yes"},
        "repo": "a/b",
        "files": [{"path": "x.bin"}],
    } | facts
    path = tmp_path / "weights.yaml"
    path.write_text(yaml.safe_dump({"net": weight}))
    monkeypatch.setenv("INSCENE_WEIGHTS_MANIFEST", str(path))


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"files": [{"path": "../x.bin"}]}, "below the weight's folder"),
        ({"files": [{"path": "/x.bin"}]}, "below the weight's folder"),
        ({"files": [{"path": "a/../../x.bin"}]}, "below the weight's folder"),
        ({"files": [{"path": "x", "sha256": "abc"}]}, "sha256"),
        ({"files": [{"path": "x", "sha256_prefix": "0"}]}, "sha256_prefix"),
        ({"subfolder": "../other"}, "below the weight's folder"),
        ({"name": "../../escaped"}, "name"),
        ({"files": [{"path": "x", "url": "http://a/b"}]}, "one source"),
        ({"repo": None}, "one source"),
        ({"needs": ["other"]}, "'other': unknown"),
        ({"sise": 3}, "sise"),
        ({"files": []}, "files"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, facts: dict[str, object], says: str) -> None:
    write(tmp_path, monkeypatch, **facts)
    with pytest.raises(RecipeError, match=says) as caught:
        load_manifest()
    assert str(tmp_path) in str(caught.value.where)
