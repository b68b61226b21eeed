"""``kill -9`` at any moment, then the same command again: the table of an uninterrupted run."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from inscene.dataset.verify import verify

HERE = Path(__file__).parent


def seeded_moments() -> list[tuple[str, int]]:
    """16 moments inside the writing of shards. 24 inputs in shards of 4: six shards with five
    fsyncs, two renames and one record each, after the two files of the plan."""
    rng = random.Random(20261121)
    moments = []
    for name, calls, count in (
        ("fsync", (1, 40), 5), ("replace", (1, 15), 3), ("replaced", (1, 15), 4),
        ("link", (1, 6), 2), ("linked", (1, 6), 2),
    ):  # fmt: skip
        moments += [(name, at) for at in sorted(rng.sample(range(*calls), count))]
    return moments


@pytest.fixture(scope="session")
def uninterrupted(photo_folder: Path, tmp_path_factory, inscene) -> str:
    """The table hash of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    recipe = slow_recipe(folder)
    inscene("build", "gallery", photo_folder, "--recipe", recipe, "--out", folder / "out")
    verdict = verify(str(folder / "out"))
    assert verdict.kept == 24
    assert verdict.table_hash
    return verdict.table_hash


def slow_recipe(folder: Path, seconds: float = 0.02) -> Path:
    slow_step = {"steps_for_tests:Sleep": {"seconds": seconds}}
    path = folder / "slow.yaml"
    recipe = {"name": "slow", "makes": "scenes", "shard_rows": 4, "batch_rows": 2}
    path.write_text(yaml.safe_dump({**recipe, "steps": ["decode", slow_step]}))
    return path


@pytest.mark.parametrize(("moment", "count"), seeded_moments())
def test_killed_while_writing(
    moment: str, count: int, photo_folder: Path, tmp_path: Path, inscene, uninterrupted: str
) -> None:
    out = tmp_path / "out"
    arguments = ["build", "gallery", photo_folder, "--recipe", slow_recipe(tmp_path), "--out", out]
    killed = subprocess.run(
        [sys.executable, HERE / "killable.py", moment, str(count), "--", *arguments],
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    inscene(*arguments)
    assert_whole(out, uninterrupted)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_a_random_time_with_workers(
    seed: int, photo_folder: Path, tmp_path: Path, inscene, uninterrupted: str
) -> None:
    """The driver dies by itself; its workers must neither outlive it for long nor do harm."""
    out = tmp_path / "out"
    arguments = ["build", "gallery", photo_folder, "--recipe", slow_recipe(tmp_path), "--out", out,
                 "--executor", "process", "--workers", "2"]  # fmt: skip
    driver = subprocess.Popen(
        [sys.executable, "-m", "inscene", *map(str, arguments)], stderr=subprocess.DEVNULL
    )
    wait_for(lambda: (out / "run/in-work").exists())
    time.sleep(random.Random(seed).uniform(0.0, 0.4))
    driver.kill()
    driver.wait()
    inscene(*arguments)
    assert_whole(out, uninterrupted)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never began"
        time.sleep(0.01)


def assert_whole(out: Path, table_hash: str) -> None:
    verdict = verify(str(out))
    assert verdict.problems == []
    assert (verdict.inputs, verdict.kept, verdict.rows) == (24, 24, 24)
    assert verdict.table_hash == table_hash
    left_over = [path for path in out.rglob("*") if ".tmp-" in path.name]
    assert left_over == []
    assert list((out / "run/in-work").glob("*")) == []


def test_a_second_run_is_refused_and_names_the_first(
    photo_folder: Path, tmp_path: Path, inscene
) -> None:
    out = tmp_path / "out"
    recipe = slow_recipe(tmp_path, seconds=0.25)  # six seconds: the second run surely meets it
    arguments = ["build", "gallery", photo_folder, "--recipe", recipe, "--out", out]
    first = subprocess.Popen(
        [sys.executable, "-m", "inscene", *map(str, arguments)], stderr=subprocess.DEVNULL
    )
    wait_for(lambda: (out / "run/lock.owner").exists())
    second = inscene(*arguments, code=3)
    assert f"process {first.pid}" in second.stderr
    assert first.wait(60) == 0
    verdict = verify(str(out))
    assert (verdict.problems, verdict.kept) == ([], 24)
