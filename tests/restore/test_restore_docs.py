"""The documentation of restoring: its examples run, its commands are understood, and its tables
have what the code has."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from synthetic_photos import synthetic_photo

from inscene.cli.remarks import NOTES
from inscene.face2scene import config as configuration
from inscene.face2scene.config import Face2SceneConfig
from inscene.restore.ref_fr import known_names
from inscene.restore.settings import Settings
from inscene.shipped import shipped_names

DOCS = Path(__file__).parents[2] / "docs"
Cli = Callable[..., Any]


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def examples(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text(name), re.S)


def commands(name: str, word: str) -> list[list[str]]:
    lines = re.findall(rf"^    (inscene {word} .*)$", text(name), re.M)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def rows(name: str) -> dict[str, list[str]]:
    """First cell of each row of a table -> the others; a cell may name several."""
    found = {}
    for line in text(name).splitlines():
        if line.startswith("| `"):
            first, *others = [cell.strip() for cell in line.strip("|").split("|")]
            for one in re.findall(r"`([^`]+)`", first):
                found[one] = others
    return found


def test_the_model_as_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    use, save, faster = examples("face2scene.md")
    names: dict[str, Any] = {}
    exec(use, names)
    for restored in (names["with_face"], names["without"]):
        assert (restored.shape, restored.dtype) == ((3, 90, 120), torch.float32)
    exec(save, names)
    assert names["again"].dtype == torch.bfloat16
    shown = re.findall(r"^      (.*?)(?:  +#.*)?$", text("face2scene.md"), re.M)
    listed = {name.rstrip("/") for line in shown for name in line.split()}
    made = {path.name for path in (tmp_path / "checkpoint").iterdir()}
    assert made - {"vae", "unet"} <= listed
    exec(faster, names)


def test_every_chosen_value_is_explained() -> None:
    """Those of the configuration that the paper does not have, with their defaults."""
    told, defaults = rows("face2scene.md"), Face2SceneConfig().model_dump()
    chosen = list(_chosen())
    assert "guidance.scale" in chosen
    for field in chosen:
        value: Any = defaults
        for key in field.split("."):
            value = value[key]
        assert told[field][0] == str(value).lower().strip("'"), field


def _chosen() -> list[str]:
    """``section.field`` whose docstring says so."""
    sections = {type(value): name for name, value in Face2SceneConfig()}
    names = {kind.__name__: f"{name}." for kind, name in sections.items()}
    names[Face2SceneConfig.__name__] = ""
    found = []
    for node in ast.parse(inspect.getsource(configuration)).body:
        if not isinstance(node, ast.ClassDef) or node.name not in names:
            continue
        for field, after in zip(node.body, node.body[1:], strict=False):
            said = after.value if isinstance(after, ast.Expr) else None
            if isinstance(field, ast.AnnAssign) and isinstance(said, ast.Constant):
                assert isinstance(field.target, ast.Name)
                if "[chosen]" in str(said.value):
                    found.append(names[node.name] + field.target.id)
    return found


def test_the_commands_of_restoring(
    cli: Cli, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is understood; the one that needs nothing runs."""
    monkeypatch.chdir(tmp_path)
    for person in ("anna", "bert"):
        for folder in ("PHOTOS", "PEOPLE"):
            path = tmp_path / folder / person / "1.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            synthetic_photo(len(folder), 48, 40).save(path)
    stand_for = {
        "PHOTO": "PHOTOS/anna/1.jpg",
        "PHOTOS_OF_HER": "PEOPLE/anna",
        "CHECKPOINT": str(checkpoint),
    }
    asked = [
        [stand_for.get(word, word) for word in one] for one in commands("restore.md", "restore")
    ]
    assert len(asked) == 5
    for one in asked:
        if "PAIRS" not in one:
            said = cli(*one, *([] if "--plan" in one else ["--plan"]))
            assert "face2scene: " in said.out
    (works,) = (one for one in asked if "--checkpoint" not in one)
    cli(*works)
    with Image.open(tmp_path / "restored" / "1.png") as image:
        assert image.size == (48, 40)


def test_the_tables_of_restoring(cli: Cli) -> None:
    told = rows("restore.md")
    assert NOTES.keys() <= told.keys()
    shown = cli("restore", "--help").out
    for option in (one for one in told if one.startswith("--")):
        assert option.split()[0] in shown
    keys = told.keys() & Settings.model_fields.keys()
    also = re.search(r"\n((?:`\w+`,? ?(?:and )?)+) are keys too", text("restore.md"))
    assert also is not None
    assert keys | set(re.findall(r"`(\w+)`", also[1])) == Settings.model_fields.keys()
    for key in keys - {"base", "tokens"}:
        stated = str(Settings.model_fields[key].default).lower()
        assert told[key][0] == f"`{stated}`", key
    for name in known_names():
        assert f"`{name}`" in text("restore.md"), name


def test_the_methods_that_are_told_of_exist() -> None:
    methods = set(shipped_names("manifests", "methods"))
    asked = [one[one.index("--method") + 1] for one in commands("restore.md", "bench")]
    assert asked
    assert set(asked) <= methods
    variants = {one for one in methods if one.startswith("face2scene")}
    told = {one for one in rows("restore.md") if one.startswith("face2scene")}
    assert told <= methods
    # Of the sweep the first and the last are named.
    assert {one for one in variants - told if "-cfg-" not in one} == set()
    swept = sorted(one for one in variants if "-cfg-" in one)
    assert {one for one in told if "-cfg-" in one} == {swept[0], swept[-1]}


@pytest.mark.parametrize("name", ["restore.md", "face2scene.md"])
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", text(name))
    assert links
    assert [link for link in links if not (DOCS / link).is_file()] == []
