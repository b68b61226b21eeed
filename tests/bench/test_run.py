"""Whole bench runs: what is computed, what is not computed again, what is said to be missing."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from synthetic_photos import synthetic_photo

from inscene.bench.results import load_results
from inscene.bench.run import Bench, bench_of_dataset, run_bench
from inscene.engine import run as engine
from inscene.engine.progress import Silent
from inscene.errors import UsageError


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, inscene) -> Path:
    """Two versions of each of five photos, of two people."""
    folder = tmp_path_factory.mktemp("bench")
    for index in range(5):
        place = folder / "photos" / ("anna" if index % 2 else "bert")
        place.mkdir(parents=True, exist_ok=True)
        synthetic_photo(index, 64, 48).save(place / f"{index}.png")
    inscene("build", "gallery", folder / "photos", "--recipe", "photos", "--out", folder / "scenes")
    inscene("degrade", folder / "scenes", "--versions", "2", "--out", folder / "pairs")
    return folder / "pairs"


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "no-weights"))


class Watched:
    """Runs plans, and remembers which there were, and how many inputs were worked on."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, int]] = []

    def __call__(self, plan: engine.Plan, title: str) -> engine.Summary:
        class Seen(Silent):
            done = 0

            def add(self, done: int, kept: int, dropped: int, failed: int) -> None:
                type(self).done += done

        summary = engine.run(plan, display=Seen())
        self.ran.append((title, Seen.done))
        return summary


def bench(pairs: Path, out: Path, *methods: str, metrics: tuple[str, ...] = ("psnr",)) -> Bench:
    return bench_of_dataset(str(pairs), methods, metrics, str(out))


def test_a_further_metric_costs_that_one_only(pairs: Path, tmp_path: Path) -> None:
    watched = Watched()
    run_bench(bench(pairs, tmp_path, "bicubic"), watched)
    run_bench(bench(pairs, tmp_path, "bicubic", metrics=("psnr", "ssim")), watched)
    run_bench(bench(pairs, tmp_path, "bicubic", "identity", metrics=("ssim",)), watched)
    assert watched.ran == [
        ("bench bicubic", 10), ("scores bicubic", 10),
        ("bench bicubic", 0), ("scores bicubic", 10),
        ("bench bicubic", 0), ("bench identity", 10), ("scores identity", 10),
    ]  # fmt: skip
    found = {one.method: one for one in load_results([str(tmp_path)])}
    assert set(found["bicubic"].frame["metric"]) == {"psnr", "ssim"}
    assert len(found["bicubic"].frame) == 20
    assert set(found["identity"].frame["metric"]) == {"ssim"}
    assert found["bicubic"].samples == 10


def test_what_was_interrupted_goes_on(pairs: Path, tmp_path: Path) -> None:
    def interrupted(plan: engine.Plan, title: str) -> engine.Summary:
        if title.startswith("scores"):
            from inscene.dataset.ledger import Ledger
            from inscene.dataset.store import open_store

            shards = [shard for shard, _ in plan.shards]
            Ledger(open_store(plan.out)).begin(plan.built.fingerprint, shards)
            raise KeyboardInterrupt
        return engine.run(plan)

    with pytest.raises(KeyboardInterrupt):
        run_bench(bench(pairs, tmp_path, "bicubic", metrics=("ssim", "psnr")), interrupted)
    with pytest.raises(UsageError, match="unfinished"):
        load_results([str(tmp_path)])
    run_bench(bench(pairs, tmp_path, "bicubic", metrics=("psnr_rgb",)), Watched())
    (found,) = load_results([str(tmp_path)])
    assert set(found.frame["metric"]) == {"psnr", "ssim", "psnr_rgb"}


def test_outputs_are_kept_as_a_dataset(pairs: Path, tmp_path: Path, inscene) -> None:
    from inscene.bench.restorers.bicubic import bicubic

    inscene("bench", "--method", "bicubic", "--dataset", pairs, "--out", tmp_path)
    folder = tmp_path / "pairs--bicubic" / "restored"
    assert "restored, sound" in inscene("verify", folder).stdout
    rows = pq.read_table(folder / "data").to_pylist()
    lq = {
        (row["sample_id"], row["version"]): row["lq"]["bytes"]
        for row in pq.read_table(pairs / "data").to_pylist()
    }
    for row in rows:
        source = np.asarray(Image.open(io.BytesIO(lq[row["sample_id"], row["version"]])))
        output = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
        assert np.array_equal(output, bicubic(source, (64, 48)))
        assert row["restore_s"] > 0
    assert "restored" in inscene("inspect", folder).stdout


def test_a_metric_that_cannot_be_had(pairs: Path, tmp_path: Path, inscene) -> None:
    command = ["bench", "--method", "bicubic", "--dataset", pairs, "--metrics", "psnr,musiq"]
    done = inscene(*command, "--out", tmp_path / "out")
    assert "n/a: musiq" in done.stderr
    assert "inscene weights pull musiq" in done.stderr
    (found,) = load_results([str(tmp_path / "out")])
    assert "inscene weights pull musiq" in found.unavailable["musiq"]["next_step"]
    rows = found.frame[found.frame["metric"] == "musiq"]
    assert set(rows["status"]) == {"weights_missing"}
    assert rows["value"].isna().all()
    refused = inscene(*command, "--out", tmp_path / "strict", "--require-all", code=4)
    assert "inscene weights pull musiq" in refused.stderr
    assert not (tmp_path / "strict").exists()


def test_a_suite_of_ones_own(pairs: Path, tmp_path: Path, inscene) -> None:
    suite = {
        "title": "Mine",
        "answers": "nothing",
        "dataset": {"folder": str(pairs), "images": 6, "make": "Make it."},
        "metrics": ["psnr", "ssim"],
        "methods": ["bicubic", "identity"],
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(suite))
    done = inscene("bench", "--suite", tmp_path / "mine.yaml", "--out", tmp_path / "out")
    assert "note: 5 images, not 6: these are not the numbers of the suite 'mine'" in done.stderr
    assert {one.suite for one in load_results([str(tmp_path / "out")])} == {"mine"}
    board = inscene("leaderboard", tmp_path / "out").stdout
    assert "mine" in board
    assert "SSIM" in board


def test_photographs_without_clean_images(pairs: Path, tmp_path: Path, inscene) -> None:
    """Their own size is the output's; metrics with a reference are refused."""
    scenes = pairs.parent / "scenes"
    suite = {
        "title": "Captures",
        "answers": "nothing",
        "dataset": {"folder": str(scenes), "make": "Make it."},
        "reference": False,
        "metrics": ["musiq"],
    }
    (tmp_path / "captures.yaml").write_text(yaml.safe_dump(suite))
    command = ["bench", "--suite", tmp_path / "captures.yaml", "--method", "identity"]
    inscene(*command, "--out", tmp_path / "out")
    rows = pq.read_table(tmp_path / "out/captures--identity/restored/data").to_pylist()
    assert len(rows) == 5
    refused = inscene(*command, "--metrics", "psnr", "--out", tmp_path / "other", code=2)
    assert "psnr compares with clean images" in refused.stderr


def test_the_plan_says_what_is_missing(pairs: Path, tmp_path: Path, inscene) -> None:
    command = ["bench", "--method", "bicubic", "--dataset", pairs, "--metrics", "psnr,fid"]
    done = inscene(*command, "--out", tmp_path / "out", "--plan", "--json")
    plan = json.loads(done.stdout)
    assert plan["methods"][0]["method"] == "bicubic"
    assert plan["methods"][0]["inputs"] == 10
    assert plan["metrics"]["psnr"] == "ok"
    assert "weights pull fid-inception" in plan["metrics"]["fid"]
    assert not (tmp_path / "out").exists()


def test_examples_to_look_at(pairs: Path, tmp_path: Path) -> None:
    from inscene.bench.examples import load_examples

    run_bench(bench(pairs, tmp_path, "bicubic", "identity"), Watched())
    results = load_results([str(tmp_path)])
    examples = load_examples(results, 3)
    assert len(examples) == 3
    rows = {
        f"{row['sample_id']}@{row['version']}": row
        for row in pq.read_table(pairs / "data").to_pylist()
    }
    for title, shown in examples:
        assert list(shown) == ["LQ", "bicubic", "identity", "GT"]
        assert shown["LQ"] == rows[title]["lq"]["bytes"]
        assert shown["GT"] == rows[title]["hq"]["bytes"]
    assert len({shown["bicubic"] for _, shown in examples}) == 3


def test_a_method_that_cannot_run_does_not_cost_the_others(
    pairs: Path, tmp_path: Path, inscene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSCENE_METHODS", str(tmp_path / "nothing"))
    command = ["bench", "--dataset", pairs, "--metrics", "psnr", "--out", tmp_path / "out"]
    done = inscene(*command, "--method", "s3diff", "--method", "bicubic", code=1)
    assert "cannot run: s3diff" in done.stderr
    assert [one.method for one in load_results([str(tmp_path / "out")])] == ["bicubic"]
    inscene(*command, "--method", "s3diff", code=4)


WORKS = """
import sys, time
from pathlib import Path
from PIL import Image
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
for path in sorted(folder.iterdir()):
    lq = Image.open(path)
    if lq.tobytes() == ODD:
        MISHAP
    lq.resize((4 * lq.width, 4 * lq.height)).save(out / path.name)
"""


@pytest.mark.parametrize(
    ("mishap", "reason"),
    [
        ("raise SystemExit(3)", "restore/method_crashed"),
        ("time.sleep(60)", "restore/method_timeout"),
        ("continue", "restore/output_missing"),
        ("Image.new('RGB', (3, 5)).save(out / path.name); continue", "restore/wrong_output_size"),
    ],
    ids=["crashes", "hangs", "writes nothing", "wrong size"],
)  # fmt: skip
def test_a_program_that_fails_on_one_image(
    pairs: Path, tmp_path: Path, inscene, mishap: str, reason: str
) -> None:
    """The others count, the board says how many, and the run ends with 1."""
    checkout = tmp_path / "method"
    checkout.mkdir()
    row = pq.read_table(pairs / "data").to_pylist()[3]
    odd = Image.open(io.BytesIO(row["lq"]["bytes"])).tobytes()
    script = WORKS.replace("MISHAP", mishap).replace("ODD", repr(odd))
    (checkout / "run.py").write_text(script)
    manifest = {
        "kind": "command", "title": "Mine", "licence": "mine", "source": "https://example.org/mine",
        "checkout": str(checkout), "python": sys.executable,
        "command": ["{python}", "{checkout}/run.py", "{input}", "{output}"],
        "scope": "folder", "timeout_s": 1.5, "upscale": 4, "commit": None,
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(manifest))
    command = ["bench", "--dataset", pairs, "--method", tmp_path / "mine.yaml", "--limit", "4"]
    done = inscene(*command, "--metrics", "psnr", "--out", tmp_path / "out", code=1)
    assert reason in done.stdout, done.stdout
    assert "3 kept" in done.stdout
    board = inscene("leaderboard", tmp_path / "out").stdout
    assert "n=3" in board or "3/4" in board or "3 of 4" in board, board


def test_only_the_split_of_a_suite(pairs: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    every = bench(pairs, tmp_path, "bicubic")
    assert run_bench(replace(every, split="train"), Watched())[0].inputs == 10
    with pytest.raises(UsageError, match="nothing of the split 'val'"):
        run_bench(replace(every, split="val"), Watched())


def test_scores_of_other_outputs_are_not_taken_for_these(pairs: Path, tmp_path: Path) -> None:
    import shutil

    outputs = tmp_path / "outputs"
    for row in pq.read_table(pairs / "data").to_pylist():
        target = outputs / f"{row['sample_id'].removesuffix('.png')}@{row['version']}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(row["hq"]["bytes"])
    wanted = bench(pairs, tmp_path / "out", f"folder:{outputs}")
    run_bench(wanted, Watched())
    for path in outputs.rglob("*.png"):
        Image.new("RGB", (64, 48)).save(path)
    shutil.rmtree(next((tmp_path / "out").iterdir()) / "restored")
    with pytest.raises(UsageError, match=r"begun with another recipe.*choose another --out"):
        run_bench(wanted, Watched())
