"""Manifests, and the methods that they make."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from inscene import images
from inscene.bench.methods import (
    Sample,
    absolute,
    describe,
    find_method,
    require,
    what_is_missing,
)
from inscene.bench.methods.command import Command
from inscene.bench.methods.needs import gpu_memory_gb
from inscene.errors import MachineError, NotBuiltYetError, RecipeError, SampleError, UsageError
from inscene.shipped import shipped_names

SHIPPED = shipped_names("manifests", "methods")
PAPER = {
    "supir", "diffbir", "resshift", "pasd", "osediff", "sinsr", "invsr", "s3diff", "redegnet",
    "codeformer", "osdface", "restoreformer-plus-plus", "faceme", "face2scene",
    "face2scene-notokens", "face2scene-1token", "face2scene-5tokens",
    "face2scene-cfg-1.07", "realesrgan-x4plus", "bicubic", "identity",
}  # fmt: skip
DOCS = Path(__file__).parents[2] / "docs" / "methods.md"

LQ = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.fixture(autouse=True)
def _nothing_is_checked_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSCENE_METHODS", str(tmp_path / "methods"))


def write(path: Path, **facts: object) -> Path:
    path.write_text(yaml.safe_dump(facts))
    return path


def builtin(tmp_path: Path, **changes: object) -> Path:
    facts = {"kind": "builtin", "title": "x", "source": "here", "licence": "any", **changes}
    return write(tmp_path / "mine.yaml", **facts)


def command(tmp_path: Path, **changes: object) -> Path:
    facts: dict[str, Any] = {
        "kind": "command",
        "title": "x",
        "source": "https://example.org/x",
        "licence": "any",
        "commit": None,
        "command": ["{python}", "run.py", "{input}", "{output}"],
        "scope": "folder",
        "timeout_s": 5,
        "upscale": None,
        **changes,
    }
    return write(tmp_path / "mine.yaml", **{k: v for k, v in facts.items() if v != "dropped"})


# The shipped ones


def test_every_method_of_the_paper_has_its_manifest() -> None:
    assert set(SHIPPED) >= PAPER


@pytest.mark.parametrize("name", SHIPPED)
def test_a_plan_of_each_can_be_shown(name: str) -> None:
    method = find_method(name)
    assert method.name == name
    facts = method.fingerprint()
    assert json.loads(json.dumps(facts)) == facts
    lines = describe(method)
    assert [line for line in lines if line.startswith("licence: ")]
    assert all(isinstance(text, str) and text for text in (*lines, *what_is_missing(method)))


@pytest.mark.parametrize("name", sorted(PAPER))
def test_what_each_command_would_run(name: str) -> None:
    method = find_method(name)
    if not isinstance(method, Command):
        return
    assert method.manifest.source.startswith("https://github.com/")
    assert method.manifest.paper
    assert method.manifest.weights
    (lacking,) = what_is_missing(method)
    assert f"git clone {method.manifest.source} " in lacking
    (runs,) = [line for line in describe(method) if line.startswith("runs: cd ")]
    assert "/methods/" in runs
    assert "<in" in runs or "<work>" in runs
    with pytest.raises(MachineError, match="No checkout"):
        require(method)


def test_what_is_not_built_says_so(tmp_path: Path) -> None:
    method = find_method(str(builtin(tmp_path, entry="inscene.to_come:f")))
    assert what_is_missing(method) == ["inscene.to_come is not built yet."]
    with pytest.raises(NotBuiltYetError, match="not built yet"):
        method.restore(Sample("x", 0, LQ, (6, 4)))


def test_programs_have_a_gpu_each_where_there_are_any() -> None:
    """Several of a network's program would be too many for one GPU's memory."""
    assert find_method("s3diff").on_gpu
    assert not find_method("bicubic").on_gpu


def test_a_plan_of_s3diff() -> None:
    text = "\n".join(describe(find_method("s3diff")))
    for part in ("ArcticHare105/S3Diff", "0e1ade9", "Apache-2.0", "inference_s3diff.py", "de_net"):
        assert part in text


# Names and manifests


def test_a_misspelt_name_is_met_with_the_right_one() -> None:
    with pytest.raises(UsageError, match="Did you mean 's3diff'"):
        find_method("s3dif")
    with pytest.raises(UsageError, match="names no folder"):
        find_method("folder:")
    with pytest.raises(UsageError, match="no such folder"):
        find_method("folder:/no/such/folder")
    with pytest.raises(RecipeError, match="cannot be read"):
        find_method("/no/such/manifest.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "comand"}, r"mine.yaml:\d+: no kind 'comand' Did you mean 'command'"),
        ({"timeout": 5}, r"mine.yaml:\d+: unknown key 'timeout' Did you mean 'timeout_s'"),
        ({"scope": "all"}, r"mine.yaml:\d+: scope: "),
        ({"scope": "dropped"}, r"the key 'scope' is missing"),
        ({"timeout_s": 0}, r"mine.yaml:\d+: timeout_s: "),
        ({"command": []}, r"mine.yaml:\d+: command: "),
        ({"command": "python run.py"}, r"mine.yaml:\d+: command: "),
        ({"command": ["{inptu}"]}, r"no placeholder \{inptu\}. Did you mean 'input'"),
        ({"command": ["{input!r}"]}, "a placeholder has a name and nothing else"),
        ({"command": ["{input"]}, "mine.yaml"),
        ({"command": ["{references}"]}, "scope must be image"),
        ({"output": "out/{name}.png"}, r"no placeholder \{name\}"),
        ({"commit": "main"}, r"mine.yaml:\d+: commit: "),
        ({"source": "somewhere"}, "the address of a repository is needed"),
        ({"files": {"../x": "y"}}, "not a plain file name"),
        ({"weights": [{"path": "x", "form": "y"}]}, "unknown key 'form' Did you mean 'from'"),
    ],
)
def test_mistakes_in_a_manifest(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        find_method(str(command(tmp_path, **changes)))


def test_paths_are_made_whole_for_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("folder:out") == f"folder:{tmp_path}/out"
    assert absolute("mine.yaml") == f"{tmp_path}/mine.yaml"
    assert [absolute(name) for name in ("bicubic", "folder:")] == ["bicubic", "folder:"]


# builtin


def test_a_class_is_constructed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_class.py").write_text(
        "class Fill:\n"
        "    made = 0\n"
        "    def __init__(self, value): Fill.made += 1; self.value = value\n"
        "    def __call__(self, lq, size):\n"
        "        import numpy as np\n"
        "        return np.full((size[1], size[0], 3), self.value, np.uint8)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    method = find_method(str(builtin(tmp_path, entry="my_class:Fill", params={"value": 7})))
    for result in method.restore_many([Sample("x", 0, LQ, (9, 5))] * 2):
        assert not isinstance(result, SampleError)
        assert result.image.shape == (5, 9, 3)
        assert (result.image == 7).all()
    assert sys.modules["my_class"].Fill.made == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("1 / 0", "method_crashed"),
        ("return lq / 255", "output_unreadable"),
        ("return lq[..., 0]", "output_unreadable"),
        ("return None", "output_unreadable"),
    ],
)
def test_what_a_function_does_wrong_fails_its_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    name = f"wrong_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(
        f"def f(lq, size):\n    if lq[0, 0, 0]:\n        {body}\n    return lq\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    method = find_method(str(builtin(tmp_path, entry=f"{name}:f")))
    good, bad = Sample("a", 0, LQ, (6, 4)), Sample("b", 0, LQ + 1, (6, 4))
    first, second, third = method.restore_many([good, bad, good])
    assert isinstance(second, SampleError)
    assert second.reason == reason
    assert not isinstance(first, SampleError)
    assert not isinstance(third, SampleError)


def test_what_a_function_lacks(tmp_path: Path) -> None:
    no_module = find_method(str(builtin(tmp_path, entry="no_such_module:f")))
    assert what_is_missing(no_module) == [
        "There is no module 'no_such_module': is its folder on PYTHONPATH?"
    ]
    with pytest.raises(MachineError, match="PYTHONPATH"):
        no_module.restore(Sample("x", 0, LQ, (6, 4)))
    no_name = find_method(str(builtin(tmp_path, entry="inscene.seeds:nothing")))
    with pytest.raises(MachineError, match="cannot be imported"):
        no_name.restore(Sample("x", 0, LQ, (6, 4)))
    changes = {"entry": "inscene.seeds:x", "packages": ["no-such-thing"], "extra": "baseline"}
    no_package = find_method(str(builtin(tmp_path, **changes)))
    assert what_is_missing(no_package) == [
        "The package no-such-thing is not installed: pip install 'inscene[baseline]'."
    ]


# folder


def test_outputs_are_found_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    (folder / "anna").mkdir(parents=True)
    for name, value in (("anna/1", 1), ("anna/1@2", 2), ("b.c", 3)):
        image = np.full((4, 6, 3), value, np.uint8)
        (folder / f"{name}.png").write_bytes(images.encode_png(image))
    (folder / "broken.png").write_bytes(b"no image")
    path = write(
        tmp_path / "theirs.yaml",
        kind="folder", title="x", source="there", licence="any", folder="outputs",
        resize_to_gt="lanczos",
    )  # fmt: skip
    samples = [
        Sample("anna/1.jpg", 0, LQ, (6, 4)),
        Sample("anna/1.jpg", 2, LQ, (6, 4)),
        Sample("anna/1.jpg", 1, LQ, (6, 4)),
        Sample("b.c.png", 0, LQ, (12, 8)),
        Sample("broken.png", 0, LQ, (6, 4)),
        Sample("1.jpg", 0, LQ, (6, 4)),
    ]
    for name, fourth in (("folder:" + str(folder), (4, 6, 3)), (str(path), (8, 12, 3))):
        method = find_method(name)
        assert what_is_missing(method) == []
        first, second, third, resized, broken, elsewhere = method.restore_many(samples)
        assert (first.image[0, 0, 0], second.image[0, 0, 0]) == (1, 2)  # type: ignore[union-attr]
        assert resized.image.shape == fourth  # type: ignore[union-attr]
        missing = [third, broken, elsewhere]
        assert [error.reason for error in missing] == [  # type: ignore[union-attr]
            "output_missing", "not_an_image", "output_missing",
        ]  # fmt: skip
    (folder / "b.c.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"two outputs for 'b\.c'"):
        find_method(str(path))


# Memory of a GPU


def test_a_gpu_that_is_too_small_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "nvidia-smi").write_text("#!/bin/sh\necho 'T4, 8192, 1'\necho 'A, 24576, 1'\n")
    (programs / "nvidia-smi").chmod(0o755)
    repo = tmp_path / "repo"
    repo.mkdir()
    changes = {"checkout": "repo", "python": sys.executable, "vram_gb": 48}
    method = find_method(str(command(tmp_path, **changes)))
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    gpu_memory_gb.cache_clear()
    assert what_is_missing(method) == ["It needs a GPU with 48 GB; the largest here has 26 GB."]
    require(method)
    (programs / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    gpu_memory_gb.cache_clear()
    assert what_is_missing(method) == ["It needs a GPU with 48 GB; nvidia-smi shows none here."]
    gpu_memory_gb.cache_clear()


# docs/methods.md


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)


def test_the_documented_methods_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (function,) = [code for code in blocks("python") if "def " in code]
    (tmp_path / "my_methods.py").write_text(function)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "x.png").write_bytes(images.encode_png(LQ))
    repo = tmp_path / "methods" / "theirs"
    (repo / ".venv" / "bin").mkdir(parents=True)
    (repo / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (repo / "run.py").write_text(
        "import pathlib, shutil, sys\n"
        "for path in pathlib.Path(sys.argv[2]).iterdir(): shutil.copy(path, sys.argv[4])\n"
    )
    manifests = [text for text in blocks("yaml") if "kind:" in text]
    kinds = set()
    for text in manifests:
        assert len(text.splitlines()) <= 12
        manifest = yaml.safe_load(text)
        kinds.add(manifest["kind"])
        path = tmp_path / {"builtin": "mine.yaml", "folder": "outputs.yaml"}.get(
            manifest["kind"], "theirs.yaml"
        )
        path.write_text(text)
        method = find_method(str(path))
        assert what_is_missing(method) == []
        factor = 1 if manifest["kind"] != "builtin" else 2
        size = (6 * factor, 4 * factor)
        assert method.restore(Sample("x", 0, LQ, size)).shape == (size[1], size[0], 3)
    assert kinds == {"builtin", "folder", "command"}


def test_the_docs_name_every_placeholder_and_reason() -> None:
    from inscene.bench.methods.template import PLACEHOLDERS

    text = DOCS.read_text(encoding="utf-8")
    assert [name for name in PLACEHOLDERS if f"`{{{name}}}`" not in text] == []
    source = Path(find_method.__code__.co_filename).parent
    code = "".join(path.read_text(encoding="utf-8") for path in source.glob("*.py"))
    reasons = set(re.findall(r'SampleError\(\s*"(\w+)"', code))
    assert len(reasons) > 6
    assert [reason for reason in reasons if f"`{reason}`" not in text] == []
