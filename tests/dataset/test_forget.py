"""`forget`: what is taken out is gone, stays gone, and everything still adds up."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from synthetic_photos import synthetic_photo
from typer.testing import CliRunner

from inscene.cli.app import app
from inscene.dataset import forget as forgetting
from inscene.dataset.forget import Asked, Removal, forget
from inscene.dataset.funnel import funnel
from inscene.dataset.ledger import Ledger
from inscene.dataset.rewrite import inputs_by_row
from inscene.dataset.shards import Shard
from inscene.dataset.sources import list_inputs
from inscene.dataset.store import LocalStore, open_store
from inscene.dataset.tombstones import (
    Tombstone,
    Tombstones,
    hash_id,
    mask,
    read_tombstones,
    tombstones_at,
    tombstones_of_source,
)
from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.errors import BusyError, InsceneError, UsageError, VerificationError
from inscene.recipe import load_recipe

ENGINE_TESTS = Path(__file__).parents[1] / "engine"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people of three photos: one is narrow, one broken, one there twice."""
    folder = tmp_path_factory.mktemp("forget") / "photos"
    for number in range(12):
        person = folder / ("anna", "bert", "carl", "dora")[number // 3]
        person.mkdir(parents=True, exist_ok=True)
        width = 32 if number == 1 else 80
        synthetic_photo(number, width, 64).save(person / f"{number:02d}.png")
    (folder / "anna/broken.png").write_bytes(b"no image")
    shutil.copy(folder / "anna/00.png", folder / "dora/copy.png")
    lines = [
        {"file_name": f"{path.parent.name}/{path.name}", "identity": path.parent.name}
        for path in sorted(folder.glob("*/*.png"))
        if path.name != "copy.png"
    ]
    lines.append({"file_name": "dora/copy.png", "identity": "dora"})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metadata.jsonl").write_text(text)
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "forget.yaml"
    step = {"steps_for_tests:DropNarrow": {"min_width_px": 70}}
    recipe = {"name": "forget", "makes": "scenes", "shard_rows": 5, "batch_rows": 2}
    path.write_text(yaml.safe_dump({**recipe, "steps": ["decode", step]}))
    return path


@pytest.fixture(autouse=True, scope="module")
def steps_of_the_engine_tests() -> Iterator[None]:
    sys.path.insert(0, str(ENGINE_TESTS))
    yield
    sys.path.remove(str(ENGINE_TESTS))


def make(recipe: str | Path, source: Path, out: Path, *overrides: str) -> engine.Summary:
    loaded, text = load_recipe(str(recipe), overrides)
    return engine.run(engine.plan(build(loaded, text), [str(source)], str(out)))


@pytest.fixture(scope="module")
def made(recipe: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "scenes"
    make(recipe, photos, out)
    return out


@pytest.fixture
def scenes(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "scenes"))


def rows(out: Path, folder: str = "data") -> list[dict[str, Any]]:
    return [
        row for file in sorted((out / folder).iterdir()) for row in pq.read_table(file).to_pylist()
    ]


def content(out: Path) -> dict[str, bytes]:
    """Every file but the lock."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {str(p.relative_to(out)): p.read_bytes() for p in files if not p.name.startswith("lock")}


def assert_sound(out: Path) -> str:
    verdict = verify(str(out))
    assert verdict.problems == []
    assert verdict.inputs == verdict.kept + verdict.dropped + verdict.errors
    assert [path for path in out.rglob("*") if ".tmp-" in path.name] == []
    assert not (out / "run/forgetting.json").exists()
    assert list((out / "run").glob("forgetting/*")) == []
    assert verdict.table_hash
    return verdict.table_hash


def assert_no_trace(out: Path, *words: str) -> None:
    """Neither names nor pixels, in any file; Parquet's pages are looked at decoded too."""
    decoded = str([rows(out), rows(out, "drops")]).encode()
    for name, data in {**content(out), "decoded": decoded}.items():
        for word in words:
            assert word.encode() not in data, (name, word)


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TestSamples:
    def test_rows_images_and_ids_go_and_everything_adds_up(
        self, scenes: Path, photos: Path
    ) -> None:
        before = verify(str(scenes))
        others = {r["sample_id"]: r for r in rows(scenes) if r["sample_id"] != "bert/04.png"}
        found = forget(str(scenes), Asked(ids=("bert/04.png",), reason="asked"))
        assert found is not None
        assert (found.samples, found.rows, found.drops, found.shards) == (1, 1, 0, 1)
        assert_sound(scenes)
        after = verify(str(scenes))
        assert (after.inputs, after.kept, after.rows) == (14, before.kept - 1, before.rows - 1)
        assert (after.forgotten, after.errors) == (1, before.errors)
        assert {r["sample_id"]: r for r in rows(scenes)} == others  # every column of the others
        assert_no_trace(scenes, "bert/04.png")
        assert ("forget", "forgotten", 1) in {
            (x.step, x.reason, x.count) for x in funnel(str(scenes)).losses
        }

    def test_tombstones_are_hashes(self, scenes: Path, photos: Path) -> None:
        stored = next(r for r in rows(scenes) if r["sample_id"] == "bert/04.png")["image"]["bytes"]
        forget(str(scenes), Asked(ids=("bert/04.png",), reason="asked"))
        entries = json.loads((scenes / "run/forgotten.json").read_text())
        assert {tuple(sorted(entry)) for entry in entries} == {
            ("image_sha256", "reason", "sample_id_sha256", "when")
        }
        assert {entry["sample_id_sha256"] for entry in entries} == {hash_id("bert/04.png")}
        assert {entry["image_sha256"] for entry in entries} == {
            hash_of(photos / "bert/04.png"), hashlib.sha256(stored).hexdigest(),
        }  # fmt: skip
        assert {entry["reason"] for entry in entries} == {"asked"}

    def test_the_same_file_under_another_name_goes_too(self, scenes: Path) -> None:
        found = forget(str(scenes), Asked(ids=("anna/00.png",)))
        assert found is not None
        assert (found.samples, found.by_image) == (2, ["dora/copy.png"])
        assert_sound(scenes)
        assert_no_trace(scenes, "anna/00.png", "dora/copy.png")

    def test_a_dropped_sample_loses_its_thumbnail(self, scenes: Path) -> None:
        (narrow,) = [r for r in rows(scenes, "drops") if r["sample_id"] == "anna/01.png"]
        assert narrow["thumbnail"]["bytes"]
        found = forget(str(scenes), Asked(ids=("anna/01.png",)))
        assert found is not None
        assert (found.samples, found.rows, found.drops) == (1, 0, 1)
        assert_sound(scenes)
        (masked,) = [r for r in rows(scenes, "drops") if r["reason"] == "forgotten"]
        assert masked["sample_id"] == mask("anna/01.png")
        given = {name for name, value in masked.items() if value}
        assert given == {"sample_id", "step", "kind", "reason"}
        for file in (scenes / "drops").iterdir():
            assert narrow["thumbnail"]["bytes"] not in file.read_bytes()

    def test_twice_is_once(self, scenes: Path) -> None:
        forget(str(scenes), Asked(ids=("bert/04.png",)))
        before = content(scenes)
        again = forget(str(scenes), Asked(ids=("bert/04.png",)))
        assert again is not None
        assert (again.samples, again.already) == (0, 1)
        assert content(scenes) == before

    def test_all_of_them(self, scenes: Path) -> None:
        ids = tuple(name for shard in Ledger(LocalStore(scenes)).shards() for name in shard.inputs)
        forget(str(scenes), Asked(ids=ids))
        assert_sound(scenes)
        verdict = verify(str(scenes))
        assert (verdict.kept, verdict.rows, verdict.forgotten) == (0, 0, 14)
        assert_no_trace(scenes, "anna", "bert", "carl", "dora")

    def test_the_file_is_encoded_as_the_run_encodes(self, scenes: Path) -> None:
        forget(str(scenes), Asked(ids=("bert/04.png",)))
        for file in (scenes / "data").iterdir():
            metadata = pq.ParquetFile(file).metadata
            chunks = [metadata.row_group(0).column(n) for n in range(metadata.num_columns)]
            assert {c.path_in_schema: c.compression for c in chunks}[
                "image.bytes"
            ] == "UNCOMPRESSED"
            assert all(chunk.has_offset_index for chunk in chunks)
            assert b"huggingface" in metadata.metadata


class TestPeople:
    def test_kept_and_dropped(self, scenes: Path) -> None:
        found = forget(str(scenes), Asked(identity="anna"))
        assert found is not None
        # Two kept, one too narrow, one broken; and the copy of one of them under another's name.
        assert (found.samples, found.rows, found.drops) == (5, 3, 2)
        assert_sound(scenes)
        assert_no_trace(scenes, "anna")
        assert {row["identity"] for row in rows(scenes)} == {"bert", "carl", "dora"}

    def test_refused_inputs_of_an_older_dataset_are_named(self, scenes: Path) -> None:
        """Its drops table has no identities: nothing is guessed, and nothing is kept quiet."""
        for file in (scenes / "drops").iterdir():
            pq.write_table(pq.read_table(file).drop_columns(["identity"]), file)
        _renew_records(scenes)
        found = forget(str(scenes), Asked(identity="anna"))
        assert found is not None
        assert (found.drops, found.below_label) == (0, ["anna/01.png", "anna/broken.png"])
        assert_sound(scenes)
        forget(str(scenes), Asked(ids=tuple(found.below_label)))
        assert_sound(scenes)
        assert_no_trace(scenes, "anna")


def _renew_records(out: Path) -> None:
    """After a change of files that is meant."""
    for path in (out / "run/records").iterdir():
        record = json.loads(path.read_text())
        for name, file in record["files"].items():
            file.update(bytes=(out / name).stat().st_size, sha256=hash_of(out / name))
        path.write_text(json.dumps(record))


class TestMistakes:
    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            (Asked(ids=("bert/04.png", "bert/4.png")), "Did you mean 'bert/04.png'"),
            (Asked(identity="ana"), "Did you mean 'anna'"),
            (Asked(), "Name sample ids"),
        ],
    )
    def test_nothing_is_changed(self, asked: Asked, words: str, scenes: Path) -> None:
        before = content(scenes)
        with pytest.raises(UsageError) as raised:
            forget(str(scenes), asked)
        assert words in str(raised.value)
        assert content(scenes) == before

    def test_damage_is_not_proved_anew(self, scenes: Path) -> None:
        shard = next(s for s in Ledger(LocalStore(scenes)).shards() if "bert/04.png" in s.inputs)
        file = scenes / shard.data_file
        data = bytearray(file.read_bytes())
        data[len(data) // 3] ^= 1
        file.write_bytes(data)
        before = content(scenes)
        with pytest.raises((VerificationError, pa.ArrowException, OSError)):
            forget(str(scenes), Asked(ids=("bert/04.png",)))
        assert content(scenes) == before

    def test_a_no_changes_nothing(self, scenes: Path) -> None:
        before = content(scenes)
        assert forget(str(scenes), Asked(identity="anna"), confirm=lambda _: False) is None
        assert content(scenes) == before

    def test_what_is_no_dataset_stays_as_it_is(
        self, photos: Path, made: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match="not a dataset"):
            forget(str(tmp_path / "typo"), Asked(ids=("x",)))
        assert not (tmp_path / "typo").exists()
        stones = Tombstones((Tombstone(hash_id("x")),))
        with pytest.raises(UsageError, match="not a dataset"):
            forget(str(photos), Asked(tombstones=stones))
        assert not (photos / "run").exists()

    def test_while_a_run_is_at_it(self, scenes: Path) -> None:
        from inscene.dataset import lock

        with lock.hold(LocalStore(scenes)), pytest.raises(BusyError):
            forget(str(scenes), Asked(identity="anna"))

    def test_a_damaged_list_is_no_empty_one(self, recipe: Path, photos: Path, scenes: Path) -> None:
        (scenes / "run/forgotten.json").write_text('[{"sample_id_sha256": "anna"}]')
        with pytest.raises(VerificationError, match="damaged"):
            make(recipe, photos, scenes)


class TestLaterRuns:
    def test_the_same_command_does_not_bring_it_back(
        self, recipe: Path, photos: Path, scenes: Path
    ) -> None:
        forget(str(scenes), Asked(identity="anna"))
        before = assert_sound(scenes)
        summary = make(recipe, photos, scenes)
        assert summary.dropped["forget/forgotten"] == 5
        assert assert_sound(scenes) == before

    @pytest.mark.parametrize("photo_is_gone", [False, True])
    def test_a_lost_file_is_made_again_without_it(
        self, photo_is_gone: bool, recipe: Path, photos: Path, scenes: Path, tmp_path: Path
    ) -> None:
        forget(str(scenes), Asked(ids=("bert/04.png",)))
        before = assert_sound(scenes)
        shard = next(
            s for s in Ledger(LocalStore(scenes)).shards() if mask("bert/04.png") in s.inputs
        )
        (scenes / shard.data_file).unlink()
        source = photos
        if photo_is_gone:  # as it should be
            source = Path(shutil.copytree(photos, tmp_path / "photos"))
            (source / "bert/04.png").unlink()
            lines = (source / "metadata.jsonl").read_text().splitlines(keepends=True)
            kept = [line for line in lines if "bert/04.png" not in line]
            (source / "metadata.jsonl").write_text("".join(kept))
        summary = make(recipe, source, scenes)
        assert summary.dropped["forget/forgotten"] == 1
        assert assert_sound(scenes) == before
        assert_no_trace(scenes, "bert/04.png")

    def test_a_new_dataset_given_the_tombstones(
        self, recipe: Path, photos: Path, scenes: Path, tmp_path: Path
    ) -> None:
        """The table of one that was made without them is that of one they were taken out of."""
        forget(str(scenes), Asked(identity="anna"))
        stones = read_tombstones(open_store(scenes))
        seeded = forget(str(tmp_path / "new"), Asked(tombstones=stones))
        assert seeded is not None
        assert seeded.samples == 0
        make(recipe, photos, tmp_path / "new")
        assert assert_sound(tmp_path / "new") == assert_sound(scenes)
        assert_no_trace(tmp_path / "new", "anna")
        assert rows(tmp_path / "new", "drops") == rows(scenes, "drops")
        for file in sorted((scenes / "data").iterdir()):  # written as the run writes, byte for byte
            assert file.read_bytes() == (tmp_path / "new/data" / file.name).read_bytes()

    def test_its_image_under_a_new_name(
        self, recipe: Path, photos: Path, scenes: Path, tmp_path: Path
    ) -> None:
        forget(str(scenes), Asked(ids=("bert/04.png",)))
        other = tmp_path / "other"
        other.mkdir()
        shutil.copy(photos / "bert/04.png", other / "renamed.png")
        shutil.copy(photos / "bert/05.png", other / "05.png")
        shutil.copy(scenes / "run/forgotten.json", other / "tombstones.json")
        summary = make(recipe, other, tmp_path / "new")
        assert (summary.kept, summary.dropped) == (1, {"forget/forgotten": 1})
        (dropped,) = rows(tmp_path / "new", "drops")
        assert (dropped["sample_id"], dropped["thumbnail"]) == ("renamed.png", None)
        assert_sound(tmp_path / "new")
        assert read_tombstones(open_store(tmp_path / "new")) == read_tombstones(open_store(scenes))

    def test_before_its_shard_is_done(self, recipe: Path, photos: Path, scenes: Path) -> None:
        """A run that was killed after it wrote the files, before the record."""
        shard = next(s for s in Ledger(LocalStore(scenes)).shards() if "bert/04.png" in s.inputs)
        (scenes / shard.record_file).unlink()
        found = forget(str(scenes), Asked(ids=("bert/04.png",)))
        assert found is not None
        assert (found.unfinished, found.rows) == (1, 0)
        assert not (scenes / shard.data_file).exists()
        assert_no_trace(scenes, "bert/04.png")
        summary = make(recipe, photos, scenes)
        assert summary.dropped["forget/forgotten"] == 1
        assert_sound(scenes)

    def test_quarantined(self, scenes: Path) -> None:
        (scenes / "run/quarantine.json").write_text(
            json.dumps({"bert/04.png": 2, "carl/06.png": 1})
        )
        forget(str(scenes), Asked(ids=("bert/04.png",)))
        assert json.loads((scenes / "run/quarantine.json").read_text()) == {"carl/06.png": 1}


DEGRADE = ("degrade.versions=2", "shard_rows=2")  # some shards hold nobody that is forgotten


@pytest.fixture(scope="module")
def made_pairs(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("derived")
    shutil.copytree(made, folder / "scenes")
    make("degrade", folder / "scenes", folder / "pairs", *DEGRADE)
    return folder


@pytest.fixture
def both(made_pairs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_pairs, tmp_path / "both"))


class TestDerived:
    def test_every_version_goes(self, both: Path) -> None:
        before = len(rows(both / "pairs"))
        found = forget(str(both / "pairs"), Asked(ids=("bert/04.png",)))
        assert found is not None
        assert (found.samples, found.rows) == (1, 2)
        assert len(rows(both / "pairs")) == before - 2
        assert_sound(both / "pairs")
        assert_no_trace(both / "pairs", "bert/04.png")

    def test_what_its_source_forgot(self, both: Path) -> None:
        forget(str(both / "scenes"), Asked(identity="anna"))
        stones = read_tombstones(open_store(both / "scenes"))
        found = forget(str(both / "pairs"), Asked(tombstones=stones))
        assert found is not None
        assert (found.samples, found.rows) == (3, 6)
        assert_sound(both / "pairs")
        assert_no_trace(both / "pairs", "anna")

    def test_the_run_that_made_it_goes_on(self, both: Path) -> None:
        """The source's files changed by forgetting alone: what is left is the same."""
        forget(str(both / "scenes"), Asked(identity="anna"))
        with pytest.raises(UsageError, match="3 samples that its source has forgotten"):
            self._again(both)
        stones = read_tombstones(open_store(both / "scenes"))
        forget(str(both / "pairs"), Asked(tombstones=stones))
        before = assert_sound(both / "pairs")
        next((both / "pairs/data").iterdir()).unlink()
        self._again(both)
        assert assert_sound(both / "pairs") == before

    def _again(self, both: Path) -> None:
        source = both / "scenes"
        assert all(entry.state for entry in list_inputs([str(source)]))
        make("degrade", source, both / "pairs", *DEGRADE)

    def test_a_new_one_takes_the_tombstones_over(self, both: Path, tmp_path: Path) -> None:
        forget(str(both / "scenes"), Asked(identity="anna"))
        make("degrade", both / "scenes", tmp_path / "new", *DEGRADE)
        there, here = (read_tombstones(open_store(p)) for p in (both / "scenes", tmp_path / "new"))
        assert here == there
        assert_sound(tmp_path / "new")

    def test_images_and_scores_of_a_bench(self, both: Path, tmp_path: Path) -> None:
        """Their rows keep the sample's own id, their inputs have its version at the end."""
        arguments = ["bench", "--dataset", both / "pairs", "--method", "bicubic",
                     "--metrics", "psnr", "--out", tmp_path / "bench"]  # fmt: skip
        result = CliRunner().invoke(app, [*map(str, arguments)])
        assert result.exit_code == 0, result.output
        tables = sorted(path.parents[1] for path in (tmp_path / "bench").rglob("run/recipe.json"))
        assert [table.name.partition("-")[0] for table in tables] == ["restored", "scores"]
        for table in tables:
            found = forget(str(table), Asked(ids=("bert/04.png",)))
            assert found is not None
            assert (found.samples, found.rows) == (2, 2)
            assert_sound(table)
            assert_no_trace(table, "bert/04.png")
            one = forget(str(table), Asked(ids=("carl/06.png@1",)))  # no sample is half forgotten
            assert one is not None
            assert (one.samples, one.by_image) == (2, [])
            assert_sound(table)


def test_rows_of_several_sources() -> None:
    """The names of the sources are before the ids of the inputs."""
    inputs = ("a/x@0", "a/x@1", "b/y@0", "z", "b/z")
    shard = Shard("id", "train-00000-of-00001", "train", inputs)
    found = inputs_by_row(shard, [("x", 1), ("y", 0), ("z", None), ("b/z", None)])
    assert [origin for *_, origin in found] == ["a/x@1", "b/y@0", "z", "b/z"]
    with pytest.raises(VerificationError, match="does not have"):
        list(inputs_by_row(shard, [("x", 2)]))


def test_on_an_object_store(made: Path) -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.put(str(made), "/forget-test", recursive=True)
    for name in ("lock", "lock.owner"):
        if fs.exists(f"/forget-test/run/{name}"):
            fs.rm_file(f"/forget-test/run/{name}")
    url = "memory://forget-test"
    try:
        forget(url, Asked(identity="anna"))
        verdict = verify(url)
        assert (verdict.problems, verdict.forgotten) == ([], 5)
        assert all(b"anna" not in fs.cat_file(name) for name in fs.find("/forget-test"))
    finally:
        fs.rm("/forget-test", recursive=True)


def test_where_a_sources_tombstones_are(scenes: Path, photos: Path) -> None:
    import fsspec

    forget(str(scenes), Asked(ids=("bert/04.png",)))
    stones = read_tombstones(open_store(scenes))
    file = next((scenes / "data").iterdir())
    assert tombstones_of_source(str(scenes)) == tombstones_of_source(str(file)) == stones
    assert not tombstones_of_source(str(photos))
    assert not tombstones_of_source(str(photos / "bert/04.png"))
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/forget-test-1.0/tombstones.json", stones.to_json())
    try:
        assert tombstones_of_source("memory://forget-test-1.0") == stones
        assert tombstones_at("memory://forget-test-1.0/tombstones.json") == stones
    finally:
        fs.rm("/forget-test-1.0", recursive=True)


def damaged_by_hand(out: Path) -> None:
    stones = Tombstones((Tombstone(hash_id("bert/04.png")),))
    (out / "run/forgotten.json").write_bytes(stones.to_json())


def test_verify_sees_what_should_be_gone(scenes: Path) -> None:
    damaged_by_hand(scenes)
    (problem,) = verify(str(scenes)).problems
    assert "holds 1 rows of forgotten samples" in problem
    forget(str(scenes), Asked(tombstones=read_tombstones(open_store(scenes))))
    assert_sound(scenes)


# --- kill -9 ---


def writes(store: LocalStore, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many times ``work`` makes a name appear or go."""
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal count
            count += 1
            return real(*args)

        return call

    with monkeypatch.context() as patch:
        for name in ("commit", "remove"):
            patch.setattr(LocalStore, name, counted(getattr(LocalStore, name)))
        work()
    return count


class KilledError(BaseException):
    pass


def test_stopped_between_any_two_writes(
    made: Path, recipe: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a store's work is done between its names' appearing: these are all the states
    that a kill can leave, but for temporary files. What finishes it is stopped once more."""
    asked = Asked(identity="anna")
    whole = Path(shutil.copytree(made, tmp_path / "whole"))
    before = verify(str(whole)).table_hash
    total = writes(LocalStore(whole), lambda: forget(str(whole), asked), monkeypatch)
    expected = assert_sound(whole)
    assert total == 15  # lock, two promises, 2 shards of 4, plan, 3 ends
    for at in range(total):
        out = Path(shutil.copytree(made, tmp_path / str(at)))
        assert stopped(out, asked, at, monkeypatch)
        verdict = verify(str(out))
        # Untouched, or it says what to do: never quietly half of it.
        assert "inscene forget" in verdict.problems[0] if verdict.problems else at < 2
        assert verdict.table_hash == (None if verdict.problems else before)
        stopped(out, asked, 2 + at % 6, monkeypatch)
        if at % 2:
            make(recipe, photos, out)  # a run finishes it first, if it had begun
        if verify(str(out)).problems or not (out / "run/forgotten.json").exists():
            forget(str(out), asked)
        assert assert_sound(out) == expected
        assert_no_trace(out, "anna")


def stopped(out: Path, asked: Asked, at: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether it came so far as to be stopped just before that write."""
    count = -1

    def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal count
            count += 1
            if count >= at:
                raise KilledError
            return real(*args)

        return call

    with monkeypatch.context() as patch:
        for name in ("commit", "remove"):
            patch.setattr(LocalStore, name, deadly(getattr(LocalStore, name)))
        try:
            forget(str(out), asked)
        except KilledError:
            return True
    return False


@pytest.mark.parametrize("moment", [("replace", 2), ("fsync", 7), ("replaced", 5)])
def test_kill_9(moment: tuple[str, int], made: Path, scenes: Path) -> None:
    """A real one, with its temporary files."""
    name, at = moment
    arguments = ["forget", scenes, "--identity", "anna", "--yes"]
    killed = subprocess.run(
        [sys.executable, ENGINE_TESTS / "killable.py", name, str(at), "--", *arguments],
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    forget(str(scenes), Asked(identity="anna"))
    assert_sound(scenes)
    assert_no_trace(scenes, "anna")


# --- the command ---


def inscene_forget(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["forget", *map(str, arguments)])
    if isinstance(result.exception, InsceneError):
        assert result.exception.exit_code == code
        return result.exception
    assert result.exit_code == code, result.output
    return result


class TestCommand:
    def test_says_what_went_and_what_else_to_treat(self, scenes: Path) -> None:
        result = inscene_forget(scenes, "anna/00.png", "--reason", "asked", "--yes")
        assert "to forget: 2 samples, with 2 rows and 0 drops; 2 shards" in result.stderr
        assert "not named, but the same image: dora/copy.png" in result.stderr
        assert "forgot 2 samples: 2 rows and 0 drops of 2 shards" in result.stdout
        assert f"inscene forget OTHER --tombstones {scenes}" in result.stdout
        assert "anna" not in (scenes / "run/forgotten.json").read_text()

    def test_asks_first(self, scenes: Path) -> None:
        before = content(scenes)
        error = inscene_forget(scenes, "anna/00.png", code=2)
        assert "--yes" in str(error)
        assert content(scenes) == before

    def test_json(self, scenes: Path) -> None:
        result = inscene_forget(scenes, "--identity", "anna", "--yes", "--json")
        assert json.loads(result.stdout) == {
            **asdict(Removal(str(scenes))),
            "kind": "scenes", "samples": 5, "rows": 3, "drops": 2, "shards": 2,
            "by_image": ["dora/copy.png"],
        }  # fmt: skip

    def test_from_another_dataset(self, scenes: Path, made: Path, tmp_path: Path) -> None:
        other = shutil.copytree(made, tmp_path / "other")
        inscene_forget(scenes, "bert/04.png", "--yes")
        inscene_forget(other, "--tombstones", scenes / "run/forgotten.json", "--yes")
        assert assert_sound(other) == assert_sound(scenes)
        assert "forgotten nothing" in str(
            inscene_forget(other, "--tombstones", made, "--yes", code=2)
        )


def test_very_many_names_are_not_listed() -> None:
    names = [f"folder/{number:06d}.png" for number in range(forgetting.MANY + 5)]
    assert "folder/000123.png" in forgetting._nearest("folder/000123.jpg", names)
    assert len(forgetting._nearest("unlike", names)) < 100
