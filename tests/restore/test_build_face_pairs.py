"""``inscene build face-pairs``, and the documentation's example."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from inscene.dataset.verify import verify

DOCS = Path(__file__).parents[2] / "docs"


def test_the_command_line(inscene, face_pairs, pairs: Path, program, tmp_path: Path) -> None:
    """The same table by worker processes as in this one, where what was restored is known."""
    name, out = program.write(), tmp_path / "processes"
    command = ["build", "face-pairs", pairs, "--ref-fr", name, "--set", "shard_rows=3"]
    command += ["--executor", "process", "--workers", "2", "--out", out]
    summary = json.loads(inscene(*command, "--json").stdout)
    assert (summary["inputs"], summary["kept"]) == (4, 4)
    assert len(program.runs) == 2
    face_pairs("inline", ref_fr=name)
    assert len(program.runs) == 2
    verdicts = [verify(str(tmp_path / name)) for name in ("processes", "inline")]
    assert verdicts[0].table_hash == verdicts[1].table_hash is not None
    assert [verdict.problems for verdict in verdicts] == [[], []]


def test_a_plan_writes_nothing(cli, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["build", "face-pairs", pairs, "--ref-fr", "perturbed:bad", "--out", out]
    plan = json.loads(cli(*command, "--plan", "--json").out)
    assert (plan["makes"], plan["inputs"]) == ("face-pairs", 4)
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--ref-fr", "fceme"], 2, "Did you mean 'faceme'?"),
        (["--ref-fr", "faceme"], 2, "--references DIR"),
        (["--ref-fr", "codeformer"], 4, "No checkout at"),
    ],
)
def test_mistakes(
    cli, pairs: Path, tmp_path: Path, options: list[str], code: int, says: str
) -> None:
    out = tmp_path / "out"
    done = cli("build", "face-pairs", pairs, *options, "--out", out, code=code)
    assert says in done.err
    assert not out.exists()


def test_photographs_are_no_pairs(cli, pairs: Path, tmp_path: Path) -> None:
    photos = pairs.parent / "photos"
    done = cli("build", "face-pairs", photos, "--out", tmp_path / "out", code=2)
    assert "make them with inscene degrade" in done.err


def test_the_documentations_example() -> None:
    pytest.importorskip("facenet_pytorch")
    page = (DOCS / "face-pairs.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.S)
    names: dict[str, object] = {}
    exec(example, names)
    pair, tensors = names["pair"], names["tensors"]
    assert pair.lq.shape == pair.hq.shape  # type: ignore[attr-defined]
    assert np.allclose(tensors.hq.shape[1:], pair.hq.shape[:2])  # type: ignore[attr-defined]
