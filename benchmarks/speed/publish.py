"""What staging a dataset for the Hub costs beside a plain ``pq.write_table`` of the same bytes.

    python benchmarks/speed/publish.py [--mb 1000] [--rounds 5] [--limit-mb 600]

The dataset has scenes of random bytes as large as 1024² PNGs, in shards of 64. ``plain`` reads the
same row groups and writes each with ``pq.write_table``'s defaults, uncompressed, into files of the
same size: no page index, no content-defined chunks, no hash, no copy without the images. ``stage``
is ``inscene.hub.stage``, whose SHA-256 the upload needs. Rounds alternate; a round is a process of
its own, with the inputs in the page cache.

On a shared machine wall time says little; processor time is given beside it.

Then the dataset is staged under a limit of memory (RLIMIT_DATA, which counts what threads reserve)
that is smaller than it, and the peak resident memory of datasets of two sizes is compared: it must
not grow with the size.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS, ROW_BYTES = 64, 1_500_000
FILE_BYTES = 500 * 10**6


def make(folder: Path, megabytes: int) -> None:
    """Scenes as ``inscene build`` writes them."""
    from inscene.dataset.ledger import Ledger
    from inscene.dataset.shards import Shard, ShardWriter
    from inscene.dataset.store import LocalStore
    from inscene.schema import SCENES

    count = max(1, round(megabytes * 1e6 / ROW_BYTES / ROWS))
    draw = np.random.default_rng(0)
    store = LocalStore(folder)
    plan = [
        Shard(f"{number:016x}", f"train-{number:05d}", "train",
              tuple(f"{number:05d}/{row:03d}.png" for row in range(ROWS)))
        for number in range(count)
    ]  # fmt: skip
    ledger = Ledger(store)
    ledger.begin({"makes": "scenes", "steps": []}, plan)
    for shard in plan:
        with ShardWriter(store, shard, SCENES, ledger.recipe_hash()) as writer:
            for name in shard.inputs:
                cell = {"bytes": draw.bytes(ROW_BYTES), "path": Path(name).name}
                writer.keep([{"sample_id": name, "split": "train", "image": cell, "width": 1024,
                              "height": 1024, "sha256": "0" * 64, "licence": "cc0-1.0",
                              "consent": "given", "provenance": '{"recipe":"x"}'}])  # fmt: skip
            writer.commit()


def plain(source: Path, out: Path) -> int:
    """Files of the same size, a row group of the source at a time."""
    import pyarrow.parquet as pq

    from inscene.dataset.parquet import open_parquet, read_group

    written, number, writer = 0, 0, None
    out.mkdir()
    for name in sorted(source.glob("data/*.parquet")):
        with name.open("rb") as file, open_parquet(file) as parquet:
            for group in range(parquet.num_row_groups):
                table = read_group(parquet, group)
                if writer is None:
                    writer = pq.ParquetWriter(
                        out / f"{number}.parquet", table.schema, compression="none"
                    )
                    number += 1
                writer.write_table(table)
                written += table.nbytes
                if written > number * FILE_BYTES:
                    writer.close()
                    writer = None
    if writer is not None:
        writer.close()
    return sum(path.stat().st_size for path in out.iterdir())


def staged(source: Path, out: Path) -> int:
    from inscene.dataset.store import LocalStore
    from inscene.hub.stage import stage

    return stage(LocalStore(source), out, max_file_bytes=FILE_BYTES).bytes


def one_round(how: str, source: Path, limit_mb: int | None) -> None:
    """In a process of its own: seconds, bytes and the peak of resident memory, as JSON."""
    import pyarrow  # noqa: F401  its import is no part of the work

    work = {"plain": plain, "stage": staged}[how]
    if limit_mb is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit_mb * 10**6,) * 2)
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        started, before = time.perf_counter(), sum(os.times()[:2])
        size = work(source, Path(folder) / "out")
        seconds = time.perf_counter() - started
        processor_s = sum(os.times()[:2]) - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"s": seconds, "cpu": processor_s, "bytes": size, "peak": peak}))


def measured(how: str, source: Path, limit_mb: int | None = None) -> dict[str, float]:
    command = [sys.executable, __file__, "--round", how, "--source", str(source)]
    if limit_mb is not None:
        command += ["--limit-mb", str(limit_mb)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{how} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--mb", type=int, default=1000, help="size of the dataset")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--limit-mb", type=int, default=600, help="of memory")
    options.add_argument("--round", choices=("plain", "stage"), help=argparse.SUPPRESS)
    options.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.round:
        one_round(given.round, given.source, given.limit_mb)
        return
    with tempfile.TemporaryDirectory() as folder:
        source, small = Path(folder) / "dataset", Path(folder) / "small"
        make(source, given.mb)
        make(small, given.mb // 4)
        runs: dict[str, list[dict[str, float]]] = {"plain": [], "stage": []}
        for how in runs:
            measured(how, source)  # the page cache is warm for all that count
        for _ in range(given.rounds):
            for how, results in runs.items():
                results.append(measured(how, source))
        print(f"{given.mb} MB, {given.rounds} rounds, medians (smallest to largest)")
        rates = {}
        for how, results in runs.items():
            seconds = sorted(one["s"] for one in results)
            rates[how] = results[0]["bytes"] / 1e6 / statistics.median(seconds)
            print(f"  {how:<6} {rates[how]:6.0f} MB/s   {statistics.median(seconds):.2f} s "
                  f"({seconds[0]:.2f} to {seconds[-1]:.2f})   "
                  f"peak {max(one['peak'] for one in results) / 1e6:.0f} MB")  # fmt: skip
        for what, key in (("wall", "s"), ("processor", "cpu")):
            pairs = zip(runs["stage"], runs["plain"], strict=True)
            ratio = statistics.median(a[key] / b[key] for a, b in pairs)
            print(f"stage takes {ratio:.2f} of plain's {what} time (goal: at most 1.3)")
        limit = given.limit_mb
        held = measured("stage", source, limit)["peak"], measured("stage", small, limit)["peak"]
        print(
            f"staged within {limit} MB: {given.mb} MB of data with a peak of {held[0] / 1e6:.0f} "
            f"MB, {given.mb // 4} MB with {held[1] / 1e6:.0f} MB"
        )


if __name__ == "__main__":
    main()
