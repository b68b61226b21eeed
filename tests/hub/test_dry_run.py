"""The command: what it would send, what it says, what it refuses, and what comes after a forget."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback.hub import LoopbackHub
from typer.testing import CliRunner

from hub.small import REPO, TOKEN, cells
from inscene.cli.app import app
from inscene.errors import InsceneError, UsageError, VerificationError

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<")  # of the hub's client
HERE = f"datasets/{REPO}"
ALLOWED = ("--allow-unknown-licence", "--allow-unknown-consent")

Command = Callable[..., dict]


@pytest.fixture
def command(hub: LoopbackHub, tmp_path: Path) -> Command:
    def run(dataset: Path, *arguments: str, contact: str = "me@home.org", ok: bool = True) -> dict:
        line = ["publish", str(dataset), "--repo", REPO, "--contact", contact, "--json",
                "--staging", str(tmp_path / "staging"), *ALLOWED, *arguments]  # fmt: skip
        done = CliRunner().invoke(app, line)
        assert TOKEN not in done.output
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return dict(json.loads(done.stdout))

    return run


def parquet_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def test_a_dry_run_tells_exactly_what_is_sent_then(hub, scenes, tmp_path, command) -> None:
    said = command(scenes, "--dry-run")
    assert HERE not in hub.repos
    assert not {one.stage for one in hub.requests} - {"revision"}
    assert (said["dry_run"], said["rows"], said["commit"], said["commits"]) == (True, 12, None, 0)
    staged = parquet_below(tmp_path / "staging")
    assert len(staged) == 2  # they are kept for the publish
    done = command(scenes)
    for key in ("send", "delete", "unchanged", "bytes", "rows", "splits", "tag", "gated"):
        assert said[key] == done[key]
    files = hub.repos[HERE].files
    assert {path: len(files[path]) for path in said["send"]} == said["send"]
    assert set(files) - set(said["send"]) == {".gitattributes"}
    assert parquet_below(tmp_path / "staging") == []


def test_a_dry_run_after_it_sends_nothing(hub, scenes, command) -> None:
    first = command(scenes)
    said = command(scenes, "--dry-run")
    assert (said["send"], said["delete"]) == ({}, [])
    again = command(scenes)
    assert (again["commits"], again["commit"]) == (0, first["commit"])
    assert again["unchanged"] == len(first["send"])


def test_nothing_to_upload_is_not_announced(hub, scenes, tmp_path) -> None:
    line = ["publish", str(scenes), "--repo", REPO, "--contact", "me@home.org",
            "--staging", str(tmp_path / "staging"), *ALLOWED]  # fmt: skip
    first, second = (CliRunner().invoke(app, line) for _ in range(2))
    assert "upload" in first.stderr
    assert "upload" not in second.stderr


def test_a_dry_run_without_a_login(hub, scenes, command, monkeypatch, tmp_path) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    said = command(scenes, "--dry-run")
    assert "README.md" in said["send"]
    assert "was not asked" in said["notes"][0]
    assert hub.requests == []


def test_for_people(hub, scenes, tmp_path) -> None:
    line = ["publish", str(scenes), "--repo", REPO, "--contact", "me@home.org", *ALLOWED,
            "--staging", str(tmp_path)]  # fmt: skip
    done = CliRunner().invoke(app, [*line, "--dry-run"], catch_exceptions=False)
    assert "data/train-00000-of-00001.parquet" in done.stdout
    assert "would be private, readers ask first" in done.stdout
    assert "Nothing was sent" in done.stderr
    done = CliRunner().invoke(app, line, catch_exceptions=False)
    assert f"commit {hub.repos[HERE].commit[:12]}" in done.stdout
    assert "12 rows (train 12)" in done.stdout


def test_unknown_terms_stop_it(hub, scenes, tmp_path) -> None:
    line = ["publish", str(scenes), "--repo", REPO, "--contact", "me@home.org",
            "--staging", str(tmp_path)]  # fmt: skip
    with pytest.raises(UsageError, match=r"00\.png.*--allow-unknown-licence"):
        CliRunner().invoke(app, line, catch_exceptions=False)
    assert hub.requests == []


def test_a_damaged_dataset_stops_it(hub, scenes, tmp_path, command) -> None:
    shutil.copytree(scenes, tmp_path / "copy")
    file = parquet_below(tmp_path / "copy/data")[0]
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(VerificationError, match="is not sound"):
        command(tmp_path / "copy")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--read-back", "some"], "a number or all"),
        (["--content", "unreal"], "synthetic, real or mixed"),
        (["--repo", "scenes"], "no name of a repository"),
    ],
)
def test_mistakes(hub, scenes, command, arguments, says) -> None:
    with pytest.raises(UsageError, match=says):
        command(scenes, *arguments)


def test_what_is_no_dataset(hub, tmp_path, command) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="is not a dataset of inscene"):
        command(tmp_path / "empty")


def test_every_flag_is_legible_on_a_narrow_terminal(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = CliRunner().invoke(app, ["publish", "--help"]).stdout
    for name in ("unknown-licence", "unknown-consent", "image-metadata", "local-paths"):
        assert f"--allow-{name}" in text


def test_a_published_copy_has_no_records(hub, scenes, command, tmp_path) -> None:
    command(scenes)
    for name in ("inscene.json", "tombstones.json"):
        (tmp_path / name).write_bytes(hub.repos[HERE].files[name])
    for dataset in (f"hf://{HERE}", str(tmp_path)):
        with pytest.raises(UsageError, match="is a published copy of a dataset"):
            raise CliRunner().invoke(app, ["verify", dataset]).exception or AssertionError


def test_two_at_once(hub, scenes, tmp_path, command) -> None:
    from inscene.hub.prepare import staging
    from inscene.hub.publish import staging_folder

    busy = pytest.raises(InsceneError, match="filled for another publish by process")
    with staging(staging_folder(REPO, tmp_path / "staging")), busy:
        command(scenes)


def test_every_file_can_be_read_back(hub, scenes, command) -> None:
    command(scenes, "--read-back", "all", "--public", "--no-gated")
    repo = hub.repos[HERE]
    assert (repo.private, repo.gated) == (False, False)


def test_what_is_forgotten_is_taken_back(hub, scenes, tmp_path, command) -> None:
    """forget → publish → the Hub has neither the row nor, where asked, its bytes."""
    mine = tmp_path / "mine"
    shutil.copytree(scenes, mine)
    before = command(mine)
    image = cells(parquet_below(mine / "data"))["03.png"]
    CliRunner().invoke(app, ["forget", str(mine), "03.png", "--yes"], catch_exceptions=False)
    done = command(mine, "--erase-history")
    assert (done["rows"], before["rows"]) == (11, 12)
    assert done["tag"] != before["tag"]
    repo = hub.repos[HERE]
    assert not any(image in content for content in repo.files.values())
    assert not any(image in content for content in hub.blobs.values())
    assert not any(b"03.png" in content for content in repo.files.values())
    stones = json.loads(repo.files["tombstones.json"])
    assert stones
    assert all(stone.keys() == {"sample_id_sha256", "image_sha256"} for stone in stones)
    assert list(repo.tags) == [done["tag"]]
    assert "11" in repo.files["README.md"].decode()


def test_old_versions_that_hold_forgotten_rows_are_named(hub, scenes, tmp_path, command) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(scenes, mine)
    command(mine)
    CliRunner().invoke(app, ["forget", str(mine), "03.png", "--yes"], catch_exceptions=False)
    done = command(mine)
    assert any("--erase-history" in note for note in done["notes"])
    assert command(mine)["commits"] == 0
