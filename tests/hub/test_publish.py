"""A package on the Hub: what was sent is there, as users read it; what is there is not sent."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from loopback.hub import LoopbackHub
from PIL import Image

from hub.small import CARD, REPO, TOKEN, cells, in_a_process, package, publish
from inscene.errors import MachineError, UsageError, VerificationError
from inscene.hub import publish as publish_module
from inscene.hub.package import Package
from inscene.hub.publish import MANIFEST

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<")  # of the hub's client
HERE = f"datasets/{REPO}"


@pytest.fixture
def made(scenes: Path, tmp_path: Path) -> Package:
    return package(scenes, tmp_path / "staged")


def without(made: Package, scenes: Path, folder: Path, gone: str) -> Package:
    """The package when a sample has been forgotten."""
    from hub.test_stage import Forgotten
    from inscene.dataset.store import LocalStore
    from inscene.hub.stage import stage

    staged = stage(LocalStore(scenes), folder, forgotten=Forgotten(gone), max_file_bytes=30_000)
    texts = {"tombstones.json": b'[{"sample_id_sha256": "x"}]\n'}
    return replace(made, staged=staged, texts=texts, content="decade" * 10)


def test_what_arrives_is_what_was_staged(hub: LoopbackHub, made: Package, scenes: Path) -> None:
    done = publish(made)
    repo = hub.repos[HERE]
    assert repo.titles()[1:] == [f"12 rows, {made.content[:12]}", "Card"]
    assert (done.commits, done.commit, done.rows) == (2, repo.commit, 12)
    expected = {file.path: file.local.read_bytes() for file in made.staged.files}
    expected |= {"README.md": CARD, "tombstones.json": b"[]\n"}
    for path, content in expected.items():
        assert repo.files[path] == content
    assert set(repo.files) == {*expected, MANIFEST, ".gitattributes"}
    listed = json.loads(repo.files[MANIFEST])
    assert {one["path"]: one["sha256"] for one in listed["files"]} == {
        file.path: file.sha256 for file in made.staged.files
    }
    assert repo.tags == {f"data-{made.content[:12]}": repo.commit}


def test_the_order(hub: LoopbackHub, made: Package) -> None:
    """Created private before anything is sent, the card after the data were read back, the tag
    after the card, access asked for before it is public."""
    done = publish(made, public=True)
    stages = hub.stages()
    commits = [n for n, stage in enumerate(stages) if stage == "commit"]
    assert stages.index("create") < stages.index("put") < commits[0]
    assert "tree" in stages[commits[0] : commits[1]]
    read = [n for n, one in enumerate(hub.requests) if "/resolve/" in one.path and one.status < 300]
    sent = [n for n, one in enumerate(hub.requests) if one.stage == "commit"]
    assert any(sent[0] < n < sent[1] for n in read)
    assert stages[-3:] == ["tag", "settings", "settings"]
    repo = hub.repos[HERE]
    assert (repo.gated, repo.private) == ("manual", False)
    assert (done.gated, done.private) == (True, False)


def test_it_is_private_unless_asked_and_open_where_nobody_is_shown(hub, made) -> None:
    publish(replace(made, real_people=False))
    repo = hub.repos[HERE]
    assert (repo.gated, repo.private) == (False, True)
    publish(made)
    assert repo.gated == "manual"
    publish(made, gated=False, public=True)
    assert (repo.gated, repo.private) == (False, False)


def test_a_second_publish_sends_nothing(hub: LoopbackHub, made: Package) -> None:
    publish(made)
    before, repo = len(hub.requests), hub.repos[HERE]
    commit = repo.commit
    again = publish(made)
    assert (again.commits, again.send, again.commit) == (0, {}, commit)
    assert again.unchanged == len(made.staged.files) + 3
    assert repo.commit == commit
    stages = {one.stage for one in hub.requests[before:]}
    assert not stages & {"commit", "put", "preupload", "lfs-batch", "create", "settings"}


def test_only_what_changed_is_sent_and_what_is_gone_is_removed(
    hub: LoopbackHub, made: Package, scenes: Path, tmp_path: Path
) -> None:
    publish(made)
    repo = hub.repos[HERE]
    before = dict(repo.files)
    less = without(made, scenes, tmp_path / "less", "11.png")
    done = publish(less)
    assert done.commits == 1  # the card is the same
    assert len([path for path in done.send if path.startswith("data/")]) == 1
    assert "11.png" not in json.dumps([*rows_of(repo.files)])
    assert len(rows_of(repo.files)) == 11
    assert set(before) == set(repo.files)
    assert "tombstones.json" in done.send

    fewer = replace(less, staged=replace(less.staged, files=less.staged.files[:1]))
    done = publish(fewer, tag="v2")
    gone = sorted(file.path for file in less.staged.files[1:])
    assert done.delete == gone
    assert not set(gone) & set(repo.files)
    assert ".gitattributes" in repo.files


def rows_of(files: dict[str, bytes]) -> list[str]:
    import pyarrow.parquet as pq

    found: list[str] = []
    for path, content in files.items():
        if path.startswith("data/"):
            found += pq.read_table(io.BytesIO(content), columns=["sample_id"])[0].to_pylist()
    return sorted(found)


def test_history_can_be_erased(hub: LoopbackHub, made: Package, scenes, tmp_path) -> None:
    publish(made)
    old = {file.sha256 for file in made.staged.files}
    less = without(made, scenes, tmp_path / "less", "11.png")
    kept = {file.sha256 for file in less.staged.files}
    done = publish(less, erase_history=True)
    repo = hub.repos[HERE]
    assert set(repo.tags) == {f"data-{less.content[:12]}"}
    assert len(repo.history) == 1
    assert set(hub.blobs) == kept
    assert old - kept
    assert done.commit == repo.commit == repo.tags[f"data-{less.content[:12]}"]


def test_tags_are_not_moved(hub: LoopbackHub, made: Package, scenes, tmp_path) -> None:
    publish(made, tag="v1")
    publish(made, tag="v1")
    repo = hub.repos[HERE]
    commit = repo.commit
    less = without(made, scenes, tmp_path / "less", "11.png")
    with pytest.raises(UsageError, match="is the name of another version"):
        publish(less, tag="v1")
    assert repo.commit == commit
    publish(less, tag="v2")
    assert repo.tags == {"v1": commit, "v2": repo.commit}


def test_files_of_others_are_not_removed_unasked(hub: LoopbackHub, made: Package) -> None:
    hub.add_repo(HERE, {"data/train-0.parquet": b"x" * 600, "README.md": b"mine", "a.txt": b"a"})
    repo = hub.repos[HERE]
    with pytest.raises(UsageError, match=r"2 files .* did not put there.*--replace"):
        publish(made)
    assert len(repo.files) == 3
    publish(made, replace=True)
    assert repo.files["README.md"] == CARD
    assert "data/train-0.parquet" not in repo.files
    assert repo.files["a.txt"] == b"a"


@pytest.mark.parametrize("which", ["listing", "content"])
def test_what_comes_back_otherwise_stops_it(hub, made, which, monkeypatch) -> None:
    """Before the card, and before anything is public."""
    path = made.staged.files[0].path
    if which == "content":
        from loopback.hub import Fault

        hub.add_fault(path, Fault(content=b"y" * made.staged.files[0].bytes))
    else:
        from loopback.hub import ApiFault

        first = made.staged.files[0]

        def spoil() -> None:
            hub.blobs[first.sha256] = b"y" * first.bytes

        def mend() -> None:
            hub.blobs[first.sha256] = first.local.read_bytes()

        hub.add_api_fault("commit", ApiFault(before=spoil, after=mend))
    with pytest.raises(VerificationError, match=path):
        publish(made, public=True)
    repo = hub.repos[HERE]
    assert "README.md" not in repo.files
    assert repo.private
    assert repo.tags == {}
    publish(made, public=True)
    assert repo.files[path] == made.staged.files[0].local.read_bytes()
    assert repo.files["README.md"] == CARD


def test_staged_files_that_change_are_not_sent(hub: LoopbackHub, made: Package) -> None:
    made.staged.files[0].local.write_bytes(b"z" * made.staged.files[0].bytes)
    with pytest.raises(VerificationError, match="since it was staged"):
        publish(made)
    assert "put" not in hub.stages()


def test_nobody_logged_in(hub: LoopbackHub, made: Package, monkeypatch, tmp_path) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(MachineError, match="hf auth login"):
        publish(made)
    assert hub.requests == []


def test_the_token_of_the_login_file_is_taken(hub, made, monkeypatch, tmp_path) -> None:
    from huggingface_hub import constants

    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    publish(made)
    assert {one.token for one in hub.requests if one.stage == "commit"} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("name", ["scenes", "a/b/c", "../x", "a/b c", "/b"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a repository"):
        publish_module.Goal(name)


READ = """
import hashlib, io, json, sys
import datasets
from PIL import Image
datasets.disable_progress_bars()
name, streaming = sys.argv[1], sys.argv[2] == "True"
found = datasets.load_dataset(name, split="train", streaming=streaming)
sizes = {row["sample_id"]: [type(row["image"]).__module__, *row["image"].size] for row in found}
raw = found.cast_column("image", datasets.Image(decode=False))
hashes = {row["sample_id"]: hashlib.sha256(row["image"]["bytes"]).hexdigest() for row in raw}
small = datasets.load_dataset(name, "metadata", split="train", streaming=streaming)
rows = sorted(row["sample_id"] for row in small)
print(json.dumps([sizes, hashes, rows, list(small.features or next(iter(small)))]))
"""

WITH_CONFIGS = b"""---
license: mit
configs:
- config_name: default
  default: true
  data_files:
  - split: train
    path: data/train-*.parquet
- config_name: metadata
  data_files:
  - split: train
    path: metadata/train-*.parquet
---
"""


@pytest.mark.parametrize("streaming", [False, True])
def test_users_read_the_same_images(hub, made, tmp_path, scenes, streaming) -> None:
    publish(replace(made, card=WITH_CONFIGS), gated=False, public=True)
    reader = in_a_process(hub, tmp_path / "home", "-c", READ, REPO, str(streaming))
    out, err = reader.communicate(timeout=110)
    assert reader.returncode == 0, err
    sizes, hashes, rows, columns = json.loads(out.splitlines()[-1])
    source = cells(sorted(scenes.glob("data/*.parquet")))
    assert hashes == {name: hashlib.sha256(data).hexdigest() for name, data in source.items()}
    assert rows == sorted(source)
    assert "image" not in columns
    for name, data in source.items():
        module, *size = sizes[name]
        assert module.startswith("PIL.")
        assert tuple(size) == Image.open(io.BytesIO(data)).size
