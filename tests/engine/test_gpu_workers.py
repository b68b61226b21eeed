"""One worker a GPU. The GPUs are names only: what is checked is who is told which one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from steps_for_tests import SayGpu

from inscene.engine import run as engine
from inscene.engine.gpus import gpus_here
from inscene.engine.progress import Silent
from inscene.engine.registry import build
from inscene.engine.run import Workers
from inscene.errors import MachineError
from inscene.recipe import load_recipe

GPU_STEP = "steps_for_tests:SayGpu"


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


def run(recipe: Path, photos: Path, out: Path, workers: Workers) -> tuple[set[str], list[str]]:
    """What the workers saw, and what the user was told."""
    loaded, text = load_recipe(str(recipe))
    notes = Notes()
    engine.run(engine.plan(build(loaded, text), [str(photos)], str(out)), workers, notes)
    return set(pq.read_table(out / "data", columns=["source"])["source"].to_pylist()), notes.said


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "gpus_here", lambda: ("0", "GPU-5a"))


class TestProcesses:
    def test_each_worker_sees_its_own(
        self, two_gpus, write_recipe, photo_folder: Path, tmp_path: Path
    ) -> None:
        recipe = write_recipe(GPU_STEP, shard_rows=2)
        seen, _ = run(recipe, photo_folder, tmp_path / "out", Workers())  # 24 inputs: few
        assert seen == {"0", "GPU-5a"}

    def test_no_more_workers_than_gpus(
        self, two_gpus, write_recipe, photo_folder: Path, tmp_path: Path
    ) -> None:
        recipe = write_recipe(GPU_STEP, shard_rows=2)
        seen, notes = run(recipe, photo_folder, tmp_path / "out", Workers("process", 3))
        assert seen == {"0", "GPU-5a"}
        assert notes == ["One worker a GPU: 2, not 3."]

    def test_a_successor_has_the_gpu_of_the_dead(
        self, two_gpus, write_recipe, photo_folder: Path, tmp_path: Path
    ) -> None:
        flag = tmp_path / "died"
        die = {"steps_for_tests:DieOnce": {"name": "anna/003", "flag": str(flag)}}
        recipe = write_recipe(die, GPU_STEP, shard_rows=2)
        seen, _ = run(recipe, photo_folder, tmp_path / "out", Workers("process", 2))
        assert flag.exists()
        assert seen == {"0", "GPU-5a"}

    def test_a_step_without_wishes_changes_nothing(
        self, two_gpus, write_recipe, photo_folder: Path, tmp_path: Path
    ) -> None:
        recipe = write_recipe({GPU_STEP: {"wanted": False}}, shard_rows=2)
        before = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
        seen, notes = run(recipe, photo_folder, tmp_path / "out", Workers("process", 2))
        assert (seen, notes) == ({before}, [])


class TestChoice:
    def test_default_is_one_a_gpu(self) -> None:
        assert Workers().chosen(12, gpus=8) == ("process", 8)
        assert Workers(count=3).chosen(12, gpus=8) == ("process", 3)

    def test_one_gpu_needs_no_other_process(self) -> None:
        assert Workers().chosen(10_000, gpus=1) == ("inline", 1)
        assert Workers("process").chosen(10_000, gpus=1) == ("process", 1)

    def test_a_cluster_is_asked_for_its_own(self) -> None:
        assert Workers("ray", 4).chosen(12, gpus=8) == ("ray", 4)
        assert not Workers(ray_address="auto").work_here

    def test_no_step_wants_one_by_itself(self) -> None:
        from inscene.engine.steps.decode import Decode

        assert not Decode().on_gpu
        assert SayGpu().on_gpu

    def test_names_are_those_of_the_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch = pytest.importorskip("torch")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 3")
        assert gpus_here() == ("5", "3")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        assert gpus_here() == ("0", "1")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray that believes in two GPUs."""
    ray = pytest.importorskip("ray", reason="the Ray executor needs Ray (extra: cluster)")
    ray.init(
        num_cpus=2,
        num_gpus=2,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield ray
    ray.shutdown()


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray's own, from many places
class TestRay:
    def test_each_actor_has_its_own(
        self, cluster, write_recipe, photo_folder: Path, tmp_path: Path
    ) -> None:
        recipe = write_recipe(GPU_STEP, shard_rows=2)
        seen, notes = run(recipe, photo_folder, tmp_path / "out", Workers("ray"))
        assert (seen, notes) == ({"0", "1"}, [])

    def test_no_more_actors_than_gpus(
        self, cluster, write_recipe, photo_folder: Path, tmp_path: Path
    ) -> None:
        recipe = write_recipe(GPU_STEP, shard_rows=2)
        seen, notes = run(recipe, photo_folder, tmp_path / "out", Workers("ray", 4))
        assert (seen, notes) == ({"0", "1"}, ["One worker a GPU: 2, not 4."])

    def test_a_step_without_wishes_gets_none(
        self, cluster, write_recipe, photo_folder: Path, tmp_path: Path
    ) -> None:
        recipe = write_recipe({GPU_STEP: {"wanted": False}}, shard_rows=2)
        seen, notes = run(recipe, photo_folder, tmp_path / "out", Workers("ray", 2))
        assert seen.isdisjoint({"0", "1"})
        assert notes == []

    def test_gpus_of_others(self, cluster, write_recipe, photo_folder: Path, tmp_path) -> None:
        @cluster.remote(num_gpus=2, num_cpus=0)
        class Hog:
            def ready(self) -> bool:
                return True

        hog = Hog.remote()
        assert cluster.get(hog.ready.remote())
        try:
            with pytest.raises(MachineError, match="no free GPU"):
                run(write_recipe(GPU_STEP), photo_folder, tmp_path / "out", Workers("ray", 2))
        finally:
            cluster.kill(hog)
