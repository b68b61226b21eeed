"""The Ray executor: the same table, the same care, and never a hang on two processors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from made import make, make_table

from inscene.engine.run import Workers
from inscene.errors import MachineError

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore"),  # Ray's own, from many places
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray of two processors on this machine."""
    ray = pytest.importorskip("ray", reason="the Ray executor needs Ray (extra: cluster)")
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield ray
    ray.shutdown()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_same_table(cluster, count, recipe, photo_folder, tmp_path, expected) -> None:
    workers = Workers("ray", count)
    assert make_table(recipe, [str(photo_folder)], tmp_path / "out", workers) == expected


def test_quarantine(cluster, write_recipe, poisoned_photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = make(write_recipe("steps_for_tests:Poison"), poisoned_photos, out, Workers("ray", 2))
    assert summary.kept == 9
    (row,) = pq.read_table(out / "drops").to_pylist()
    assert (row["sample_id"], row["reason"]) == ("poison.png", "killed_worker_twice")


def test_the_command_joins_a_running_cluster(
    cluster, recipe, photo_folder, tmp_path, inscene
) -> None:
    import json

    def table_hash(name: str, *who: str) -> str:
        inscene(
            "build", "gallery", photo_folder, "--recipe", recipe, "--out", tmp_path / name, *who
        )
        return str(json.loads(inscene("verify", tmp_path / name, "--json").stdout)["table_hash"])

    address = cluster.get_runtime_context().gcs_address
    assert table_hash("cluster", "--ray-address", address) == table_hash("here")


def test_a_full_cluster_is_an_error_at_once(cluster, recipe, photo_folder, tmp_path) -> None:
    @cluster.remote(num_cpus=2)
    class Hog:
        def ready(self) -> bool:
            return True

    hog = Hog.remote()
    assert cluster.get(hog.ready.remote())
    try:
        with pytest.raises(MachineError, match="no free CPU"):
            make(recipe, photo_folder, tmp_path / "out", Workers("ray", 2))
    finally:
        cluster.kill(hog)


def test_an_address_without_a_cluster(inscene, recipe, photo_folder, tmp_path) -> None:
    arguments = ["build", "gallery", photo_folder, "--recipe", recipe, "--out", tmp_path / "out"]
    done = inscene(*arguments, "--ray-address", "127.0.0.1:1", code=4)
    assert "cannot reach Ray" in done.stderr
