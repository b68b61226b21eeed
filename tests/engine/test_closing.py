"""Closing steps: decided once for the whole table, done to every shard, whatever happens."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from synthetic_photos import synthetic_photo

from inscene.dataset import closing
from inscene.dataset.forget import Asked, forget
from inscene.dataset.funnel import funnel
from inscene.dataset.ledger import Ledger
from inscene.dataset.sources import list_inputs
from inscene.dataset.store import open_store
from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.engine.what_if import what_if
from inscene.errors import UsageError, VerificationError
from inscene.recipe import load_recipe

HERE = Path(__file__).parent
KEPT = {f"{number}.png" for number in range(8)}


@pytest.fixture(scope="module", autouse=True)
def quick_disk() -> Iterator[None]:
    """No power fails here: what the system has, it has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos; of three of them the same file, the same pixels, and a worse copy."""
    folder = tmp_path_factory.mktemp("closing") / "photos"
    folder.mkdir()
    for number in range(8):
        synthetic_photo(number, 96, 72).save(folder / f"{number}.png")
    shutil.copy(folder / "1.png", folder / "9 copy: of 1.png")
    Image.open(folder / "2.png").save(folder / "2.bmp")
    (folder / "2.bmp").rename(folder / "7 as.bmp")
    buffer = io.BytesIO()
    Image.open(folder / "3.png").save(buffer, "JPEG", quality=50)
    (folder / "4 near 3.jpg").write_bytes(buffer.getvalue())
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "closing.yaml"
    head = {"name": "closing", "makes": "scenes", "shard_rows": 3, "batch_rows": 2}
    steps = {"steps": ["decode", "phash"], "closing": [{"duplicates": {"max_distance": 6}}]}
    path.write_text(yaml.safe_dump({**head, **steps}))
    return path


Make = Callable[..., engine.Summary]


@pytest.fixture(scope="module")
def make(photos: Path, recipe: Path) -> Make:
    def make(out: Path, workers: engine.Workers | None = None, source: Path = photos):
        built = build(*load_recipe(str(recipe)))
        return engine.run(engine.plan(built, [str(source)], str(out)), workers)

    return make


@pytest.fixture(scope="module")
def whole(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    make(out)
    return out


@pytest.fixture(scope="module")
def before(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended when its shards were done."""
    out = tmp_path_factory.mktemp("before") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "close", lambda *_: False)
        make(out)
    return out


def content(dataset: Path) -> dict[str, bytes]:
    """Every file, but for the lock's."""
    return {
        path.relative_to(dataset).as_posix(): path.read_bytes()
        for path in dataset.rglob("*")
        if path.is_file() and not path.name.startswith("lock")
    }


def drops(dataset: Path) -> dict[str, tuple[str, str, str]]:
    rows = [
        row for path in sorted(dataset.glob("drops/*")) for row in pq.read_table(path).to_pylist()
    ]
    return {row["sample_id"]: (row["step"], row["reason"], row["detail"]) for row in rows}


def ids(dataset: Path) -> set[str]:
    return {
        name
        for path in dataset.glob("data/*")
        for name in pq.read_table(path)["sample_id"].to_pylist()
    }


def test_every_input_is_in_one_bucket(whole: Path, make: Make) -> None:
    assert ids(whole) == KEPT
    found = drops(whole)
    assert found.pop("4 near 3.jpg")[:2] == ("duplicates", "near_duplicate")
    assert found == {
        "9 copy: of 1.png": ("duplicates", "duplicate", "the same file: 1.png"),
        "7 as.bmp": ("duplicates", "duplicate", "the same pixels: 2.png"),
    }
    verdict = verify(str(whole))
    assert (verdict.problems, verdict.inputs, verdict.kept, verdict.dropped) == ([], 11, 8, 3)
    result = funnel(str(whole))
    assert [(loss.step, loss.reason, loss.count) for loss in result.losses] == [
        ("duplicates", "duplicate", 2),
        ("duplicates", "near_duplicate", 1),
    ]
    assert (result.kept, result.closing) == (8, ())
    again = make(whole)
    assert (again.inputs, again.kept, sum(again.dropped.values())) == (11, 8, 3)
    assert not (whole / "run/closing.json").exists()


def test_the_drops_table_shows_them(whole: Path) -> None:
    (row,) = (
        row
        for path in whole.glob("drops/*")
        for row in pq.read_table(path).to_pylist()
        if row["sample_id"] == "4 near 3.jpg"
    )
    assert Image.open(io.BytesIO(row["thumbnail"]["bytes"])).size == (96, 72)
    assert all(row[name] for name in ("phash", "sha256", "pixels_sha256"))


def test_workers_and_order_do_not_matter(
    make: Make, whole: Path, photos: Path, tmp_path: Path
) -> None:
    make(tmp_path / "two", engine.Workers("process", 2))
    assert content(tmp_path / "two") == content(whole)

    moved = tmp_path / "photos"
    moved.mkdir()
    files = sorted(photos.iterdir())
    random.Random(3).shuffle(files)
    for file in files:
        shutil.copy(file, moved / file.name)
    make(tmp_path / "moved", source=moved)
    assert verify(str(tmp_path / "moved")).table_hash == verify(str(whole)).table_hash


def test_an_object_store_holds_the_same(
    photos: Path, recipe: Path, whole: Path, tmp_path: Path
) -> None:
    url = f"memory://closing-{tmp_path.name}/out"
    plan = engine.plan(build(*load_recipe(str(recipe))), [str(photos)], url)
    engine.run(plan)
    verdict = verify(url)
    assert verdict.problems == []
    assert verdict.table_hash == verify(str(whole)).table_hash
    assert open_store(url).list("run/closing/*") == []


def test_nobody_takes_an_unclosed_table_for_finished(before: Path) -> None:
    assert len(ids(before)) == 11
    with pytest.raises(UsageError, match="duplicates is still to do"):
        list_inputs([str(before)])
    assert verify(str(before)).problems == ["duplicates: not done; run the same command to resume"]
    assert funnel(str(before)).closing == ("duplicates",)
    with pytest.raises(UsageError, match="still to do"):
        what_if(str(before), ["max_distance=4"])


class Killed(BaseException):
    pass


CHANGES = ("replace", "link", "unlink", "fsync")


@contextmanager
def killed_at(change: int | None) -> Iterator[list[str]]:
    """The process is gone just before its n-th change of the disk: nothing is changed after that,
    by whatever ``finally``. Gives the changes made."""
    made: list[str] = []

    def deadly(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if change is not None and len(made) >= change:
                raise Killed
            made.append(name)
            return real(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, deadly(name, getattr(os, name)))
        yield made


def interrupted(make: Make, before: Path, out: Path, change: int | None) -> list[str]:
    shutil.copytree(before, out)
    with killed_at(change) as made:
        try:
            make(out)
            assert change is None
        except Killed:
            assert change is not None
    return made


def test_killed_before_any_change(make: Make, before: Path, whole: Path, tmp_path: Path) -> None:
    changes = interrupted(make, before, tmp_path / "counted", None)
    assert content(tmp_path / "counted") == content(whole)
    some = random.Random(9).sample(range(4, len(changes)), 14)
    for number in sorted({*some, len(changes) - 1, len(changes) - 2}):
        out = tmp_path / str(number)
        interrupted(make, before, out, number)
        closed = all(record and record.closed for _, record in Ledger(open_store(out)).records())
        gone = (out / "run/closing.json").exists() or not closed
        assert bool(verify(str(out)).problems) == gone
        make(out)
        assert content(out) == content(whole), f"killed before change {number}"
        shutil.rmtree(out)


def test_killed_twice(make: Make, before: Path, whole: Path, tmp_path: Path) -> None:
    for first, second in ((20, 12), (40, 20), (60, 8)):
        out = tmp_path / f"{first}-{second}"
        interrupted(make, before, out, first)
        with killed_at(second), pytest.raises(Killed):
            make(out)
        make(out)
        assert content(out) == content(whole)


RUN = """
import sys
from killable import arm
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.recipe import load_recipe
photos, recipe, out, moment, count = sys.argv[1:]
arm(moment, int(count))
engine.run(engine.plan(build(*load_recipe(recipe)), [photos], out))
"""


def test_kill_9(
    make: Make, before: Path, whole: Path, photos: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(before, out)
    command = [sys.executable, "-c", RUN, photos, recipe, out, "replaced", "6"]
    killed = subprocess.run(
        [str(part) for part in command], capture_output=True, timeout=100, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (out / "run/closing.json").exists()
    make(out)
    assert content(out) == content(whole)


def test_a_lost_file_is_made_anew_and_closed(
    make: Make, whole: Path, before: Path, tmp_path: Path
) -> None:
    lost = tmp_path / "lost"
    shutil.copytree(whole, lost)
    for name in sorted((lost / "data").iterdir())[1:3]:
        name.unlink()
    make(lost)
    assert content(lost) == content(whole)

    torn = tmp_path / "torn"
    interrupted(make, before, torn, 40)
    assert (torn / "run/closing.json").exists()
    for name in (torn / "data").iterdir():
        name.unlink()
    make(torn)
    assert content(torn) == content(whole)


def test_a_damaged_file_is_left_alone_and_named(make: Make, before: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(before, out)
    name = min((out / "data").iterdir())
    content = bytearray(name.read_bytes())
    content[100] ^= 1
    name.write_bytes(content)
    with pytest.raises(VerificationError, match="damaged") as error:
        make(out)
    assert error.value.where == str(name)
    name.unlink()
    make(out)
    assert verify(str(out)).problems == []


def test_what_if(whole: Path) -> None:
    none = what_if(str(whole), ["duplicates.max_distance=null"])
    assert (none.gained, none.lost) == ({"duplicates/near_duplicate": ["4 near 3.jpg"]}, {})
    assert none.not_asked == []
    assert what_if(str(whole), ["max_distance=6"]).count("gained") == 0
    wide = what_if(str(whole), ["max_distance=32"])
    lost = wide.lost["duplicates/near_duplicate"]
    assert 0 < len(lost) < 8
    assert wide.kept == 8
    with pytest.raises(UsageError, match="less than or equal to 32"):
        what_if(str(whole), ["max_distance=65"])


def test_forgetting_takes_what_shows_the_same(whole: Path, make: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    found = forget(str(out), Asked(("1.png", "3.png")))
    assert found is not None
    assert found.by_image == ["4 near 3.jpg", "9 copy: of 1.png"]
    verdict = verify(str(out))
    assert (verdict.problems, verdict.kept, verdict.forgotten) == ([], 6, 4)
    assert not any(b"9 copy" in one or b"3.png" in one for one in content(out).values())
    make(out)
    assert verify(str(out)).table_hash == verdict.table_hash


def test_forgetting_finishes_an_interrupted_closing(
    make: Make, before: Path, whole: Path, tmp_path: Path
) -> None:
    out, there = tmp_path / "out", tmp_path / "there"
    interrupted(make, before, out, 45)
    assert closing.is_begun(open_store(out))
    forget(str(out), Asked(("0.png",)))
    assert not closing.is_begun(open_store(out))
    shutil.copytree(whole, there)
    forget(str(there), Asked(("0.png",)))
    assert verify(str(out)).table_hash == verify(str(there)).table_hash


def test_forgetting_before_the_closing(make: Make, before: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(before, out)
    forget(str(out), Asked(("3.png",)))
    make(out)
    assert verify(str(out)).problems == []
    assert "4 near 3.jpg" in ids(out)  # it was like nobody who is here
