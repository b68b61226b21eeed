"""Datasets read from the Hub by the real client: pinned to a commit, by ranges, with clear errors.

Also what the data may not do: no cell sends a request.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from loopback.hub import ApiFault, Fault, LoopbackHub, Repo
from synthetic_photos import synthetic_photo
from typer.testing import CliRunner

from inscene.cli.app import app
from inscene.dataset import hub_source, row_reader
from inscene.dataset.hub_source import HubAddress, HubStore, without_revision
from inscene.dataset.inspect import open_table, survey
from inscene.dataset.row_reader import RowReader
from inscene.dataset.sources import list_inputs, read_inputs
from inscene.dataset.store import open_store
from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.errors import InsceneError, MachineError, SampleError, UsageError
from inscene.recipe import load_recipe

SET = "hf://datasets/org/set"
CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(number: int, side: int = 48) -> bytes:
    file = io.BytesIO()
    synthetic_photo(number, side, side - 8).save(file, "png")
    return file.getvalue()


def parquet(columns: dict[str, list[Any]], rows_a_group: int = 2) -> bytes:
    arrays = {
        name: pa.array([{"bytes": value, "path": None} for value in values], CELL)
        if isinstance(values[0], bytes)
        else pa.array(values)
        for name, values in columns.items()
    }
    file = io.BytesIO()
    pq.write_table(pa.table(arrays), file, row_group_size=rows_a_group)
    return file.getvalue()


CLEAN = [png(n) for n in range(4)]
DEGRADED = [png(n, 24) for n in range(4)]
TRAIN: dict[str, list[Any]] = {
    "image": CLEAN,
    "prompt": ["a", "b", "c", "d"],
    "identity_id": [1, 1, 2, 2],
}
VAL = {**TRAIN, "lq": DEGRADED}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """The real client of this process talks to it; nothing waits between attempts."""
    from huggingface_hub import HfFileSystem, constants

    monkeypatch.setattr(hub_source, "WAITS_S", (0.0, 0.0))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    HfFileSystem.clear_instance_cache()
    with LoopbackHub() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            running.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        running.repos["datasets/org/set"] = Repo(
            {
                "README.md": b"# A set",
                "data/train-00000-of-00001.parquet": parquet(TRAIN),
                "data/validation-00000-of-00001.parquet": parquet(VAL),
            }
        )
        yield running


def rows(url: str, needs: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    found = []
    for _, row in read_inputs(list_inputs([url], needs), needs):
        assert not isinstance(row, SampleError), row
        found.append(row)
    return found


# ---- what is read


def test_a_dataset_as_its_splits(hub: LoopbackHub) -> None:
    inputs = list_inputs([SET])
    assert [entry.split for entry in inputs] == ["train"] * 4 + ["val"] * 4
    assert inputs[0].id == "train-00000-of-00001.parquet#0.0"
    found = rows(SET)
    assert [row["image"]["bytes"] for row in found] == CLEAN * 2
    assert [row["identity"] for row in found[:4]] == ["1", "1", "2", "2"]
    assert {row["source"] for row in found} == {"set"}
    commit = hub.repos["datasets/org/set"].commit
    assert inputs[0].file == f"{SET}@{commit}/data/train-00000-of-00001.parquet"


@pytest.mark.parametrize(
    "place", ["data/validation-*.parquet", "data/validation-00000-of-00001.parquet"]
)
def test_pairs_by_file_or_pattern(hub: LoopbackHub, place: str) -> None:
    with pytest.raises(UsageError, match=r"train.*has no column 'hq'") as caught:
        list_inputs([SET], ("hq", "lq"))
    assert "data/validation-00000-of-00001.parquet" in str(caught.value.next_step)
    found = rows(f"{SET}/{place}", ("hq", "lq"))
    assert [row["lq"]["bytes"] for row in found] == DEGRADED
    assert [row["hq"]["bytes"] for row in found] == CLEAN


@pytest.mark.parametrize("revision", ["main", "v1", "COMMIT"])
def test_a_revision(hub: LoopbackHub, revision: str) -> None:
    repo = hub.repos["datasets/org/set"]
    repo.tags["v1"] = repo.commit
    old = repo.commit
    repo.put_commit("first")
    repo.add_commit("second", {"data/train-0.parquet": parquet({"image": CLEAN[:1]})})
    url = f"{SET}@{old if revision == 'COMMIT' else revision}"
    assert len(list_inputs([url])) == (1 if revision == "main" else 8)


def test_a_run_reads_one_version_though_the_branch_moves_on(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    repo = hub.repos["datasets/org/set"]
    repo.put_commit("first")
    plan = engine.plan(build(*load_recipe("photos")), [SET], str(tmp_path / "out"))
    repo.add_commit("second", {"data/train-0.parquet": parquet({"image": [png(9)]})})
    summary = engine.run(plan)
    assert (summary.kept, summary.errors) == (8, {})


def test_only_some_ranges_of_a_large_file_are_fetched(hub: LoopbackHub) -> None:
    """The rows of one group cost about that group."""
    noise = [bytes(range(256)) * 4000 + bytes([n]) for n in range(12)]
    content = parquet({"image": noise}, rows_a_group=1)
    file = io.BytesIO()
    table = pq.read_table(io.BytesIO(content))
    pq.write_table(table, file, row_group_size=1, compression="none", use_dictionary=False)
    hub.repos["datasets/org/set"].files = {"data/train-0.parquet": file.getvalue()}
    entry = next(entry for entry in list_inputs([SET]) if entry.row_group == 7)
    ((_, row),) = read_inputs([entry])
    assert isinstance(row, dict)
    assert row["image"]["bytes"] == noise[7]
    asked = [one for one in hub.gets("train-0.parquet") if one.range]
    assert asked
    sizes = []
    for one in asked:
        first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", str(one.range)).groups()  # type: ignore[union-attr]
        sizes.append(int(last) - int(first) + 1)
    assert sum(sizes) < len(file.getvalue()) / 2
    assert all(one.range for one in hub.gets("train-0.parquet"))


def test_rows_in_their_order_fetch_nothing_twice(hub: LoopbackHub) -> None:
    inputs = list_inputs([f"{SET}/data/train-*.parquet"])
    hub.requests.clear()
    with RowReader() as reader:
        for entry in inputs:  # one call each, as a run with small batches does
            ((_, row),) = read_inputs([entry], reader=reader)
            assert isinstance(row, dict)
    # The file is smaller than one block of the client.
    assert len([one for one in hub.requests if one.method == "GET" and one.range]) <= 2


def test_an_image_folder(hub: LoopbackHub) -> None:
    lines = [
        {"file_name": "images/0.png", "lq_file_name": "lq/0.png", "caption": "a"},
        {"file_name": "images/1.png", "lq_file_name": "lq/1.png", "caption": "b"},
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    hub.repos["datasets/org/set"].files = {
        "validation/metadata.jsonl": text,
        "validation/images/0.png": CLEAN[0],
        "validation/lq/0.png": DEGRADED[0],
        "validation/lq/1.png": DEGRADED[1],
    }
    for url in (SET, f"{SET}/validation"):
        inputs = list_inputs([url], ("hq", "lq"))
        assert [entry.split for entry in inputs] == ["val", "val"]
        (_, first), (_, second) = read_inputs(inputs, ("hq", "lq"))
        assert isinstance(first, dict)
        assert (first["hq"]["bytes"], first["lq"]["bytes"]) == (CLEAN[0], DEGRADED[0])
        assert first["prompt"] == "a"
        assert isinstance(second, SampleError)
        assert second.reason == "file_missing"


def test_plain_images(hub: LoopbackHub) -> None:
    hub.repos["datasets/org/set"].files = {"people/1.png": CLEAN[1], "README.md": b"x"}
    (row,) = rows(SET)
    assert (row["sample_id"], row["image"]["bytes"]) == ("people/1.png", CLEAN[1])


def test_what_degrade_makes_of_it(hub: LoopbackHub, tmp_path: Path) -> None:
    """And nothing has changed for a second run; a changed branch is noticed."""
    recipe = ["degrade", [f"shard_rows={4}"]]
    built = build(*load_recipe(recipe[0], recipe[1]))  # type: ignore[arg-type]
    source, out = f"{SET}/data/train-*.parquet", str(tmp_path / "out")
    assert engine.run(engine.plan(built, [source], out)).kept == 4
    assert open_table(out).kind == "pairs"
    assert engine.run(engine.plan(built, [source], out)).kept == 4
    repo = hub.repos["datasets/org/set"]
    changed = {
        **repo.files,
        "data/train-00000-of-00001.parquet": parquet({**TRAIN, "image": CLEAN[::-1]}),
    }
    repo.put_commit("first")
    repo.add_commit("second", changed)
    with pytest.raises(UsageError, match="changed since"):
        engine.run(engine.plan(built, [source], out))


def test_inspect_shows_how_columns_are_read(hub: LoopbackHub) -> None:
    found = survey(open_table(f"{SET}/data/validation-*.parquet"))
    assert (found.kind, found.rows, found.counts["identity"]) == ("pairs", 4, {"1": 2, "2": 2})
    result = CliRunner().invoke(app, ["inspect", f"{SET}/data/validation-*.parquet"])
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "columns of validation-00000-of-00001.parquet" in text
    assert "identity is identity_id" in text
    assert "lq is lq" in text
    answer = CliRunner().invoke(app, ["inspect", "--json", SET])
    assert answer.exit_code == 0, answer.output
    train, val = json.loads(answer.stdout)["columns"]
    assert train["read"] == {"image": "image", "prompt": "prompt", "identity": "identity_id"}
    assert val["read"]["lq"] == "lq"


def test_large_row_groups_are_read_in_slices(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_reader, "LARGE_GROUP_BYTES", 0)
    monkeypatch.setattr(row_reader, "SLICE_ROWS", 2)
    hub.repos["datasets/org/set"].files = {"data/train-0.parquet": parquet(TRAIN, rows_a_group=4)}
    inputs = list_inputs([SET])
    with RowReader() as reader:
        for entry in (*inputs, inputs[1], inputs[0]):
            row = reader.row(entry.file, entry.row_group, entry.row)
            assert row["image"]["bytes"] == CLEAN[entry.row]


@pytest.fixture
def own(hub: LoopbackHub, photo_folder: Path, tmp_path: Path) -> Path:
    """A dataset of this tool, whole, as it is uploaded."""
    folder = tmp_path / "own"
    built = build(*load_recipe("photos"))
    engine.run(engine.plan(built, [str(photo_folder / "anna")], str(folder), limit=4))
    hub.repos["datasets/org/own"] = Repo(
        {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file()
        }
    )
    return folder


def test_a_dataset_of_this_tool_is_verified_where_it_is(own: Path) -> None:
    here, there = verify(str(own)), verify("hf://datasets/org/own")
    assert there.problems == []
    assert there.table_hash == here.table_hash
    assert not open_table("hf://datasets/org/own").readings
    local, distant = list_inputs([str(own)]), list_inputs(["hf://datasets/org/own"])
    assert [(entry.id, entry.state) for entry in local] == [
        (entry.id, entry.state) for entry in distant
    ]


def test_a_connection_that_ends_in_the_middle(own: Path, hub: LoopbackHub) -> None:
    table = open_table("hf://datasets/org/own")
    for name in table.files:
        hub.add_fault(name, *[Fault(status=503)] * 60)
    with pytest.raises(MachineError, match="cannot be read"):
        survey(table)


def test_writing_is_not_for_this(hub: LoopbackHub) -> None:
    store = open_store(SET)
    assert isinstance(store, HubStore)
    with pytest.raises(UsageError, match="this command cannot write") as caught:
        store.replace("run/x.json", b"{}")
    assert "inscene publish" in str(caught.value.next_step)


# ---- what goes wrong


def failure(url: str) -> InsceneError:
    with pytest.raises(InsceneError) as caught:
        rows(url)
    error = caught.value
    assert error.where
    assert error.where.startswith("hf://datasets/")
    return error


def test_a_dataset_that_is_not_there(hub: LoopbackHub) -> None:
    error = failure("hf://datasets/org/none")
    assert isinstance(error, UsageError)
    assert "no such dataset" in error.what
    assert "hf auth login" in str(error.next_step)


def test_a_revision_that_is_not_there(hub: LoopbackHub) -> None:
    assert "no such revision" in failure(f"{SET}@v9").what


@pytest.mark.parametrize("place", ["data/none.parquet", "data/none-*.parquet", "none"])
def test_a_file_that_is_not_there(hub: LoopbackHub, place: str) -> None:
    error = failure(f"{SET}/{place}")
    assert isinstance(error, UsageError)
    assert place in str(error)


@pytest.mark.parametrize(
    "url", ["hf://org/set", "hf://models/org/set", "hf://datasets/org", "hf://datasets/org/../x"]
)
def test_addresses_of_no_dataset(url: str) -> None:
    with pytest.raises(UsageError, match="no address of a dataset") as caught:
        list_inputs([url])
    assert "hf://datasets/ORG/NAME" in str(caught.value.next_step)


def test_a_gated_dataset(hub: LoopbackHub) -> None:
    hub.repos["datasets/org/set"].gated = True
    error = failure(SET)
    assert isinstance(error, MachineError)
    assert "is gated" in error.what
    assert "https://huggingface.co/datasets/org/set" in str(error.next_step)


def test_a_gated_dataset_with_a_token(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repos["datasets/org/set"].gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    assert len(rows(SET)) == 8


def test_offline(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    error = failure(SET)
    assert isinstance(error, MachineError)
    assert "HF_HUB_OFFLINE" in error.what
    assert "hf download --repo-type dataset org/set" in str(error.next_step)


def test_a_hub_that_cannot_be_reached(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    error = failure(SET)
    assert isinstance(error, MachineError)
    assert "cannot be read" in error.what


def test_a_busy_hub_is_asked_again(hub: LoopbackHub) -> None:
    hub.add_api_fault("revision", ApiFault(status=503), ApiFault(status=429))
    hub.add_api_fault("tree", ApiFault(status=502))
    hub.add_fault("data/train-00000-of-00001.parquet", Fault(status=503))
    assert len(rows(SET)) == 8


def test_a_hub_that_stays_busy(hub: LoopbackHub) -> None:
    hub.add_api_fault("revision", *[ApiFault(status=503)] * 40)
    error = failure(SET)
    assert isinstance(error, MachineError)
    assert "503" in str(error.why)


def test_a_damaged_row_group_costs_its_rows(hub: LoopbackHub) -> None:
    repo = hub.repos["datasets/org/set"]
    name = "data/train-00000-of-00001.parquet"
    cells = pa.array([{"bytes": value, "path": None} for value in CLEAN], CELL)
    file = io.BytesIO()
    pq.write_table(
        pa.table({"image": cells}), file, row_group_size=2, compression="none",
        use_dictionary=False, write_statistics=False,
    )  # fmt: skip
    content = bytearray(file.getvalue())
    place = bytes(content).index(CLEAN[0])
    content[4:place] = b"\xff" * (place - 4)  # the first page's header, after the magic bytes
    repo.files[name] = bytes(content)
    found = [row for _, row in read_inputs(list_inputs([f"{SET}/data/train-*.parquet"]))]
    assert [isinstance(row, SampleError) for row in found][2:] == [False, False]
    assert isinstance(found[0], SampleError)
    assert found[0].reason == "parquet_unreadable"
    repo.files[name] = bytes(content[:-60]) + b"\xff" * 52 + bytes(content[-8:])
    with pytest.raises(UsageError, match="is not a Parquet file"):
        list_inputs([SET])


def test_a_lost_connection_is_the_machines_and_no_sample_is_blamed(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    inputs = list_inputs([SET])
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    from huggingface_hub import HfFileSystem

    HfFileSystem.clear_instance_cache()
    with pytest.raises(MachineError, match="cannot be read"):
        list(read_inputs(inputs))


# ---- what the data may not do


def test_no_cell_sends_a_request(hub: LoopbackHub) -> None:
    canary = f"{hub.url}/releases/canary.png"
    hub.releases["canary.png"] = CLEAN[3]
    cells = [
        {"bytes": CLEAN[0], "path": canary},
        {"bytes": None, "path": canary},
        {"bytes": None, "path": "hf://datasets/org/other/canary.png"},
        {"bytes": canary.encode(), "path": None},
    ]
    file = io.BytesIO()
    table = pa.table(
        {"image": pa.array(cells, CELL), "caption": [canary] * 4, "file_name": [canary] * 4}
    )
    pq.write_table(table, file)
    hub.repos["datasets/org/set"].files = {"data/train-0.parquet": file.getvalue()}
    hub.repos["datasets/org/other"] = Repo({"canary.png": CLEAN[3]})
    found = [row for _, row in read_inputs(list_inputs([SET]))]
    assert [isinstance(row, SampleError) for row in found] == [False, True, True, False]
    assert not [one for one in hub.requests if "canary" in one.path]


@pytest.mark.parametrize(
    "name", ["../../other/resolve/main/canary.png", "hf://datasets/org/other/canary.png", "/a.png"]
)
def test_no_line_of_metadata_leads_elsewhere(hub: LoopbackHub, name: str) -> None:
    line = json.dumps({"file_name": name}).encode()
    hub.repos["datasets/org/set"].files = {"train/metadata.jsonl": line}
    hub.repos["datasets/org/other"] = Repo({"canary.png": CLEAN[3]})
    with pytest.raises(UsageError, match="leads out of the dataset"):
        list_inputs([SET])
    assert not [one for one in hub.requests if "canary" in one.path]


def test_the_token_is_in_no_error(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    for url in ("hf://datasets/org/none", f"{SET}@v9"):
        assert "hf_canary" not in str(failure(url))
    assert {one.token for one in hub.requests} == {"Bearer hf_canary"}


# ---- addresses


@pytest.mark.parametrize(
    ("url", "repo", "revision", "path"),
    [
        ("hf://datasets/o/n", "o/n", None, ""),
        ("hf://datasets/o/n/", "o/n", None, ""),
        ("hf://datasets/o/n@v1.0", "o/n", "v1.0", ""),
        ("hf://datasets/o/n@refs/convert/parquet/a/b", "o/n", "refs/convert/parquet", "a/b"),
        ("hf://datasets/o/n@refs/pr/3", "o/n", "refs/pr/3", ""),
        ("hf://datasets/o/n@main/data/x.parquet", "o/n", "main", "data/x.parquet"),
    ],
)
def test_addresses(url: str, repo: str, revision: str | None, path: str) -> None:
    assert HubAddress.parse(url) == HubAddress(repo, revision, path)
    named = f"hf://datasets/{repo}/{path}".rstrip("/")
    assert without_revision(url).rstrip("/") == named
