"""Results of bench on the Hub: the scores and the board, and nothing of this machine."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from loopback.hub import LoopbackHub
from made_results import made_results
from synthetic_photos import synthetic_photo
from typer.testing import CliRunner

from hub.small import make_scenes
from inscene.bench.leaderboard import boards_of, load_boards
from inscene.bench.run import ASKED, bench_of_dataset, run_bench
from inscene.cli.app import app
from inscene.dataset.store import LocalStore
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.errors import UsageError, VerificationError
from inscene.face2scene import document
from inscene.face2scene.config import Face2SceneConfig
from inscene.face2scene.document import DOCUMENT
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.hub.model_card import checkpoint_card, evaluations, publish_checkpoint
from inscene.hub.package import Package
from inscene.hub.publish import Goal, Outcome, send
from inscene.hub.refuse import check_table
from inscene.hub.results import BOARD, results_package
from inscene.hub.rules import Allowed
from inscene.hub.statement import Statement
from inscene.recipe import load_recipe

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<")  # of the hub's client
CONTACT = "me@example.org"
STATEMENT = Statement("org/scores", CONTACT, licence="cc-by-4.0")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods on four pairs; one metric that cannot be had."""
    home = tmp_path_factory.mktemp("to-measure")
    (home / "photos").mkdir()
    for index in range(4):
        synthetic_photo(index, 48, 40).save(home / "photos" / f"{index}.png")
    make_scenes(home / "photos", home / "scenes")
    recipe, text = load_recipe("degrade", ["degrade.versions=1"])
    engine.run(engine.plan(build(recipe, text), [str(home / "scenes")], str(home / "pairs")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSCENE_WEIGHTS", str(home / "no-weights"))
        bench = bench_of_dataset(
            str(home / "pairs"), ("bicubic", "identity"), ("psnr", "ssim", "musiq"),
            str(home / "results"),
        )  # fmt: skip
        run_bench(bench, lambda plan, _: engine.run(plan))
    return home / "results"


@pytest.fixture
def package(results: Path, tmp_path: Path) -> Package:
    return results_package([str(results)], tmp_path / "staged", STATEMENT)


def publish(made: Package) -> Outcome:
    silent = lambda *_: lambda _: None  # noqa: E731
    return send(made, Goal("org/scores"), silent, lambda _: None)


def test_every_score_is_sent(results: Path, package: Package) -> None:
    rows = pq.read_table(package.staged.files[0].local).to_pylist()
    found = {(row["method"], row["metric"], row["sample_id"]): row["value"] for row in rows}
    assert len(found) == len(rows) == 2 * 3 * 4
    (board,) = load_boards([str(results)])
    for line in board.lines:
        values = [v for (method, metric, _), v in found.items()
                  if (method, metric) == (line.method, "psnr")]  # fmt: skip
        assert math.isclose(sum(values) / 4, line.cells["psnr"].mean or 0)
    missing = [row for row in rows if row["metric"] == "musiq"]
    assert {(row["value"], row["status"]) for row in missing} == {(None, "weights_missing")}
    assert {row["split"] for row in rows} == {"test"}


def test_nothing_of_this_machine_is_sent(results: Path, package: Package) -> None:
    place = str(results.parent)
    asked = list(results.glob(f"*/{ASKED}"))
    assert asked
    assert all(place in file.read_text() for file in asked)
    sent = {**package.texts, "README.md": package.card} | {
        file.path: file.local.read_bytes() for file in package.staged.files
    }
    assert set(sent) == {BOARD, "README.md", "data/test-00000-of-00001.parquet"}
    for name, content in sent.items():
        assert place.encode() not in content, name
        assert ASKED.encode() not in content, name
    rows = pq.read_table(package.staged.files[0].local).to_pylist()
    assert all(row["features"] is None and row["device"] is None for row in rows)


def test_places_in_reasons_are_taken_out(results: Path, tmp_path: Path) -> None:
    """Where weights are damaged, the reason names their file on this machine."""
    import shutil

    shutil.copytree(results, tmp_path / "copy")
    for file in (tmp_path / "copy").glob(f"*/{ASKED}"):
        facts = json.loads(file.read_text())
        facts["unavailable"]["musiq"]["reason"] = "/home/me/weights/musiq.pth is damaged"
        file.write_text(json.dumps(facts))
    made = results_package([str(tmp_path / "copy")], tmp_path / "staged", STATEMENT)
    assert b"/home/me" not in made.card + made.texts[BOARD]
    assert b"MUSIQ" in made.card


def test_the_same_scores_are_the_same_bytes(
    results: Path, package: Package, tmp_path: Path
) -> None:
    again = results_package([str(results)], tmp_path / "again", STATEMENT)
    assert again.content == package.content
    assert again.card == package.card
    assert again.texts == package.texts


def test_the_card(package: Package) -> None:
    card = DatasetCard(package.card.decode())
    assert card.data.license == "cc-by-4.0"
    text = package.card.decode()
    for part in ("24 scores", "| bicubic |", "PSNR-Y", "MUSIQ", CONTACT, "step: take_output"):
        assert part in text, part
    assert not package.real_people


def test_on_the_hub_and_back(package: Package, hub: LoopbackHub, tmp_path: Path) -> None:
    from datasets import load_dataset

    first = publish(package)
    assert first.commits == 2
    files = hub.repos["datasets/org/scores"].files
    assert not [name for name in files if name.endswith(ASKED) or "restored" in name]
    for name, content in files.items():
        (tmp_path / "back" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "back" / name).write_bytes(content)
    back = load_dataset(str(tmp_path / "back"), split="test", cache_dir=str(tmp_path / "cache"))
    assert len(back) == 24
    assert hashlib.sha256(files["data/test-00000-of-00001.parquet"]).hexdigest() == package.content
    assert publish(package).commits == 0


@pytest.mark.parametrize("name", ["/home/me/anna.png", "hf_" + "x1" * 17])
def test_refusals_hold_for_scores_too(name: str, package: Package) -> None:
    folder = package.staged.folder
    path = package.staged.files[0].local
    rows = pq.read_table(path)
    names = rows.column("sample_id").to_pylist()
    changed = rows.set_column(0, rows.schema.field(0), [[name, *names[1:]]])
    pq.write_table(changed, path)
    (one,) = check_table(LocalStore(folder), Allowed())
    assert one.rule in ("local-paths", "secrets")
    assert one.column == "sample_id"


def test_no_results(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no results"):
        results_package([str(tmp_path)], tmp_path / "staged", STATEMENT)


# -- a checkpoint's card -------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    config = Face2SceneConfig(licences={"unet": "Stability Community"})
    (folder / DOCUMENT).write_text(json.dumps({**config.model_dump(mode="json"), "files": {}}))
    return folder


def test_model_index(checkpoint: Path, results: Path) -> None:
    statement = replace(STATEMENT, repo="org/restorer", title="Restorer")
    text = checkpoint_card(checkpoint, [str(results)], statement, method="bicubic")
    card = ModelCard(text)
    head = yaml.safe_load(text.split("---")[1])
    name, found = model_index_to_eval_results(head["model-index"])
    assert name == "Restorer"
    (board,) = load_boards([str(results)])
    (line,) = [line for line in board.lines if line.method == "bicubic"]
    assert {one.metric_type: one.metric_value for one in found} == {
        key: round(line.cells[key].mean or 0, 6) for key in ("psnr", "ssim")
    }
    assert card.data.base_model == "stabilityai/sd-turbo"
    assert card.data.license == "cc-by-4.0"
    assert "- unet: Stability Community" in text
    assert str(results.parent) not in text


def test_the_hub_accepts_it(checkpoint: Path, results: Path, hub: LoopbackHub) -> None:
    ModelCard(checkpoint_card(checkpoint, [str(results)], STATEMENT, method="bicubic")).validate()


def test_a_checkpoint_on_the_hub(checkpoint: Path, results: Path, hub: LoopbackHub) -> None:
    for _ in range(2):
        publish_checkpoint(checkpoint, [str(results)], STATEMENT, method="bicubic")
        repo = hub.repos["org/scores"]
        assert set(repo.files) == {".gitattributes", DOCUMENT, "README.md"}
        assert repo.private
    assert hub.stages().count("commit") == 2
    assert b"model-index" in repo.files["README.md"]


def test_public_is_last_and_may_come_later(
    checkpoint: Path, results: Path, hub: LoopbackHub
) -> None:
    def public(repo: str) -> bool:
        statement = Statement(repo, "me@home.org")
        publish_checkpoint(checkpoint, [], statement, private=False)
        return not hub.repos[repo].private

    publish_checkpoint(checkpoint, [], Statement("org/later", "me@home.org"))
    assert hub.repos["org/later"].private
    hub.requests.clear()
    assert public("org/later")
    assert public("org/at-once")
    stages = hub.stages()
    assert stages.count("settings") == 2
    assert stages[-1] == "settings"
    publish_checkpoint(checkpoint, [], Statement("org/at-once", "me@home.org"))
    assert not hub.repos["org/at-once"].private


def test_the_command(tmp_path: Path, results: Path, hub: LoopbackHub) -> None:
    folder = tmp_path / "tiny"
    Face2ScenePipeline.from_family("tiny").save_pretrained(folder)
    line = ["publish", str(folder), "--repo", "org/tiny", "--contact", "me@home.org",
            "--results", str(results), "--method", "bicubic"]  # fmt: skip
    told = CliRunner().invoke(app, [*line, "--dry-run"])
    assert told.exit_code == 0
    assert "model-index" in told.stdout
    assert "org/tiny" not in hub.repos
    assert CliRunner().invoke(app, line).exit_code == 0
    _, hashes = document.read(folder)
    assert {*hashes, DOCUMENT, "README.md"} < set(hub.repos["org/tiny"].files)
    for wrong in (["--tag", "v1"], ["--allow-unknown-consent"]):
        done = CliRunner().invoke(app, [*line, *wrong])
        assert isinstance(done.exception, UsageError)
        assert "for datasets" in str(done.exception)
    (folder / "fadex" / "config.json").write_text("{}")
    assert isinstance(CliRunner().invoke(app, line).exception, VerificationError)


def test_which_method_it_is_must_be_clear(checkpoint: Path, results: Path) -> None:
    with pytest.raises(UsageError, match="--method"):
        checkpoint_card(checkpoint, [str(results)], STATEMENT)
    with pytest.raises(UsageError, match="bicubic"):
        checkpoint_card(checkpoint, [str(results)], STATEMENT, method="bicubik")


def test_several_suites() -> None:
    boards = boards_of([made_results("ours", suite=suite) for suite in ("a", "b")])
    found = evaluations(boards, "ours")
    assert {(one.dataset_name, one.metric_type) for one in found} == {
        (suite, metric) for suite in "ab" for metric in ("dists", "psnr", "ssim", "musiq")
    }
