"""Fetching from a loopback hub: whole, verified, atomic, resumed; every fault has its error."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from loopback.hub import Fault, LoopbackHub
from loopback.published import body, known

from inscene.errors import MachineError, UsageError, VerificationError
from inscene.weights import MissingWeightError, find_file, find_folder
from inscene.weights.folder import weights_folder
from inscene.weights.manifest import Weight
from inscene.weights.pins import read_pins
from inscene.weights.pull import pull
from inscene.weights.survey import survey, verify_all

ONE, SMALL = body(1), body(2, 100)


@pytest.fixture
def weight(hub: LoopbackHub, write_manifest) -> Weight:
    """Two files of a repository, one large and of known hash, one small and unknown."""
    hub.add_repo("org/net", {"sub/model.safetensors": ONE, "sub/conf/config.json": SMALL})
    files = [known("model.safetensors", ONE), {"path": "conf/config.json"}]
    return write_manifest({"net": {"repo": "org/net", "subfolder": "sub", "files": files}})["net"]


@pytest.fixture
def release(hub: LoopbackHub, write_manifest) -> Weight:
    """One file of a release page, of known hash."""
    hub.releases["v1/net.pth"] = ONE
    url = f"{hub.url}/releases/v1/net.pth"
    return write_manifest({"net": {"files": [known("net.pth", ONE, url=url)]}})["net"]


def left_over() -> list[str]:
    """What lies in the folder of the weights beside the files themselves."""
    names = (path.name for path in weights_folder().rglob("*") if path.is_file())
    return sorted(name for name in names if name not in (".lock", "pins.json", "pins.lock"))


def test_a_repository(hub: LoopbackHub, weight: Weight) -> None:
    pulled = pull(weight)
    assert pulled.fetched == ("model.safetensors", "conf/config.json")
    folder = find_folder("net")
    assert (folder / "model.safetensors").read_bytes() == ONE
    assert (folder / "conf/config.json").read_bytes() == SMALL
    pins = read_pins()
    assert pins["net/model.safetensors"].verified_by == "manifest"
    assert pins["net/conf/config.json"].verified_by == "hub"
    assert pins["net/conf/config.json"].origin.endswith(hub.repos["org/net"].commit)
    assert pull(weight).there == pulled.fetched


def test_the_token_goes_to_gated_repositories_only(hub: LoopbackHub, write_manifest) -> None:
    hub.add_repo("org/open", {"a.bin": ONE})
    hub.add_repo("org/gated", {"a.bin": ONE}, gated=True)
    hub.releases["a.bin"] = ONE
    manifest = write_manifest(
        {
            "open": {"repo": "org/open", "files": [{"path": "a.bin"}]},
            "gated": {"repo": "org/gated", "gated": True, "files": [{"path": "a.bin"}]},
            "release": {"files": [{"path": "a.bin", "url": f"{hub.url}/releases/a.bin"}]},
        }
    )
    for one in manifest.values():
        pull(one)
    told = {request.path for request in hub.requests if request.token}
    assert told
    assert all(path.startswith("/org/gated/") for path in told)
    everything = b"".join(p.read_bytes() for p in weights_folder().rglob("*.json"))
    assert b"hf_canary" not in everything


def test_a_gated_repository_without_a_token(
    hub: LoopbackHub, write_manifest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    hub.add_repo("org/net", {"a.bin": ONE}, gated=True)
    manifest = write_manifest(
        {"net": {"repo": "org/net", "gated": True, "files": [{"path": "a.bin"}]}}
    )
    with pytest.raises(MachineError, match="hf auth login"):
        pull(manifest["net"])


def test_a_token_does_not_follow_a_redirect(hub: LoopbackHub, write_manifest) -> None:
    """Large files come from other hosts than the hub's own."""
    hub.add_repo("org/net", {"a.bin": ONE}, gated=True)
    files = [{"path": "a.bin"}]
    weight = write_manifest({"net": {"repo": "org/net", "gated": True, "files": files}})["net"]
    with LoopbackHub() as elsewhere:
        elsewhere.releases["blob"] = ONE
        hub.add_fault("a.bin", Fault(302, location=f"{elsewhere.url}/releases/blob"))
        pull(weight)
        assert [request.token for request in elsewhere.requests] == [None]
    assert all(request.token for request in hub.requests), hub.requests


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(503), Fault(503)],
        [Fault(429, retry_after_s=0)],
        [Fault(send_bytes=100_000)],
        [Fault(send_bytes=100_000), Fault(send_bytes=50_000), Fault(502)],
        [Fault(send_bytes=1), Fault(ignore_range=True)],
    ],
    ids=["503 twice", "429", "dropped", "dropped twice, 502", "dropped, no ranges"],
)
def test_a_fault_that_passes(release: Weight, hub: LoopbackHub, faults: list[Fault]) -> None:
    hub.add_fault("v1/net.pth", *faults)
    counted: list[int] = []

    def started(what: str, size: int, have: int):
        return (lambda count: None) if what.startswith("verify") else counted.append

    pull(release, started)
    assert find_file("net").read_bytes() == ONE
    assert sum(counted) == len(ONE)  # what the progress bar was told
    assert left_over() == ["net.pth"]


def test_the_hub_answers_503_before_it_answers(weight: Weight, hub: LoopbackHub) -> None:
    busy = Fault(503, methods=("HEAD",))
    hub.add_fault("sub/model.safetensors", busy, busy)
    pull(weight)
    assert find_folder("net").is_dir()


def test_the_hub_never_answers(weight: Weight, hub: LoopbackHub) -> None:
    hub.add_fault("sub/model.safetensors", *[Fault(503, methods=("HEAD",))] * 3)
    with pytest.raises(MachineError, match=r"cannot be reached.*503, 3 times"):
        pull(weight)


def test_what_came_is_not_asked_for_again(release: Weight, hub: LoopbackHub) -> None:
    hub.add_fault("v1/net.pth", Fault(send_bytes=200_000), *[Fault(500)] * 5)
    with pytest.raises(MachineError, match="does not go on"):
        pull(release)
    with pytest.raises(MissingWeightError):
        find_file("net")
    part = weights_folder() / "net" / "net.pth.part"
    came = part.stat().st_size
    assert 0 < came <= 200_000
    begun: list[tuple[str, int, int]] = []

    def started(what: str, size: int, have: int):
        begun.append((what, size, have))
        return lambda count: None

    pull(release, started)  # as another process would
    assert begun == [("net/net.pth", len(ONE), came), ("verify net/net.pth", len(ONE), 0)]
    assert hub.gets("net.pth")[-1].range == f"bytes={came}-"
    assert find_file("net").read_bytes() == ONE


def test_a_part_of_another_file_is_found_out(release: Weight) -> None:
    part = weights_folder() / "net" / "net.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(body(9, 1000))
    pull(release)
    assert find_file("net").read_bytes() == ONE


@pytest.mark.parametrize("etag", [True, False], ids=["with an ETag", "without"])
def test_a_release_that_is_replaced_while_it_is_fetched(
    hub: LoopbackHub, write_manifest, etag: bool
) -> None:
    """Nobody knows its hash: halves of two versions must not become one file."""
    hub.releases["a.bin"] = ONE
    files = [{"path": "a.bin", "url": f"{hub.url}/releases/a.bin"}]
    weight = write_manifest({"net": {"files": files}})["net"]
    hub.add_fault("a.bin", Fault(send_bytes=100_000, etag=etag), *[Fault(500)] * 5)
    with pytest.raises(MachineError):
        pull(weight)
    hub.releases["a.bin"] = body(8)
    hub.add_fault("a.bin", Fault(etag=etag))
    pull(weight)
    assert find_file("net").read_bytes() == body(8)


def test_a_part_that_is_a_link_is_not_written_into(release: Weight, tmp_path: Path) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_bytes(ONE[:1000])
    part = weights_folder() / "net" / "net.pth.part"
    part.parent.mkdir(parents=True)
    os.link(mine, part)
    pull(release)
    assert mine.read_bytes() == ONE[:1000]


def test_a_web_page_is_no_model(hub: LoopbackHub, write_manifest) -> None:
    hub.releases["a.bin"] = b"login please"
    files = [{"path": "a.bin", "about_mb": 50, "url": f"{hub.url}/releases/a.bin"}]
    weight = write_manifest({"net": {"files": files}})["net"]
    with pytest.raises(VerificationError, match="about 50"):
        pull(weight)
    assert left_over() == []
    hub.add_fault("a.bin", Fault(content_type="text/html; charset=utf-8"))
    with pytest.raises(MachineError, match="a web page"):
        pull(weight)


def test_a_small_file_of_the_hub_is_compared_too(hub: LoopbackHub, weight: Weight) -> None:
    hub.add_fault("sub/conf/config.json", Fault(content=body(7, 100)))
    with pytest.raises(VerificationError, match="the hub says git:"):
        pull(weight)
    pull(weight)
    assert read_pins()["net/conf/config.json"].verified_by == "hub"


def test_bit_rot_is_found_and_mended(release: Weight) -> None:
    """Neither size nor time tell."""
    pull(release)
    path = find_file("net")
    facts = path.stat()
    path.write_bytes(body(3))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    (verdict,) = verify_all([release], lambda *begins: lambda count: None)
    assert "not the file it should be" in str(verdict.problem)
    (standing,) = survey([release])
    assert standing.in_words == "changed"
    assert pull(release).fetched == ("net.pth",)
    assert find_file("net").read_bytes() == ONE


def test_a_file_that_changes_while_it_is_read(
    release: Weight, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inscene.weights import verify

    pull(release)
    path = find_file("net")
    os.utime(path, (1, 1))
    hashes = verify._hashes

    def slow(stream, size_bytes, advance):
        found = hashes(stream, size_bytes, advance)
        path.write_bytes(body(3))
        return found

    monkeypatch.setattr(verify, "_hashes", slow)
    with pytest.raises(VerificationError, match="changed while it was read"):
        find_file("net")


def test_a_folder_that_others_keep_may_be_read_only(
    release: Weight, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    pull(release)

    def refused(*arguments: object, **more: object) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(FileLock, "acquire", refused)
    assert pull(release).there == ("net.pth",)
    find_file("net").unlink()
    with pytest.raises(MachineError, match="set INSCENE_WEIGHTS"):
        pull(release)


def test_files_of_one_name_are_not_mixed_up(hub: LoopbackHub, write_manifest, tmp_path) -> None:
    hub.add_repo("org/vit", {"config.json": SMALL})
    hub.add_repo("org/res", {"config.json": body(4, 100)})
    both = {
        name: {"repo": f"org/{name}", "files": [{"path": "config.json"}]} for name in ("vit", "res")
    }
    manifest = write_manifest(both)
    usb = tmp_path / "usb"
    (usb / "vit").mkdir(parents=True)
    (usb / "config.json").write_bytes(body(4, 100))
    with pytest.raises(UsageError, match="usb/vit only"):
        pull(manifest["vit"], source=usb)
    (usb / "vit" / "config.json").write_bytes(SMALL)
    pull(manifest["vit"], source=usb)
    assert find_file("vit").read_bytes() == SMALL
    assert read_pins()["vit/config.json"].verified_by == "folder"


def test_what_was_taken_by_size_alone_gives_way_to_the_hub(
    hub: LoopbackHub, write_manifest, tmp_path: Path
) -> None:
    hub.add_repo("org/net", {"a.bin": ONE})
    weight = write_manifest({"net": {"repo": "org/net", "files": [{"path": "a.bin"}]}})["net"]
    (tmp_path / "a.bin").write_bytes(body(6))
    pull(weight, source=tmp_path)
    find_file("net").unlink()
    pull(weight)
    assert find_file("net").read_bytes() == ONE
    assert read_pins()["net/a.bin"].verified_by == "hub"


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        (Fault(404), MachineError, "no such file"),
        (Fault(403), MachineError, "A proxy or a limit"),
        (Fault(410), MachineError, "answers 410"),
        (Fault(content=body(7)), VerificationError, "not the file it should be"),
        (Fault(content=b"<html>sorry</html>"), MachineError, "error page"),
    ],
    ids=["404", "403", "410", "wrong hash", "an error page"],
)
def test_a_fault_that_stays(release: Weight, hub: LoopbackHub, fault, error, says) -> None:
    hub.add_fault("v1/net.pth", fault)
    with pytest.raises(error, match=says):
        pull(release)
    assert left_over() == []  # neither under its name nor half
    with pytest.raises(MissingWeightError):
        find_file("net")


def test_a_server_that_never_goes_on(release: Weight, hub: LoopbackHub) -> None:
    hub.add_fault("v1/net.pth", *[Fault(send_bytes=0)] * 9)
    with pytest.raises(MachineError, match="does not go on"):
        pull(release)
    assert len(hub.gets("net.pth")) == 5


def test_what_the_hub_states_is_compared(hub: LoopbackHub, write_manifest) -> None:
    hub.add_repo("org/net", {"a.bin": ONE})
    weight = write_manifest({"net": {"repo": "org/net", "files": [{"path": "a.bin"}]}})["net"]
    hub.add_fault("a.bin", Fault(content=body(7)))
    with pytest.raises(VerificationError, match="the hub says"):
        pull(weight)
    pull(weight)
    assert read_pins()["net/a.bin"].verified_by == "hub"


def test_a_publisher_that_replaces_a_file(hub: LoopbackHub, write_manifest) -> None:
    """Nobody knew its hash, so that it was pinned; from then on it is known."""
    hub.releases["a.bin"] = ONE
    files = [{"path": "a.bin", "url": f"{hub.url}/releases/a.bin"}]
    weight = write_manifest({"net": {"files": files}})["net"]
    pull(weight)
    find_file("net").unlink()
    hub.releases["a.bin"] = body(5)
    with pytest.raises(VerificationError, match="at its first download it was"):
        pull(weight)
    hub.releases["a.bin"] = ONE
    pull(weight)
    assert find_file("net").read_bytes() == ONE


def test_a_prefix_of_the_hash_is_enough(hub: LoopbackHub, write_manifest) -> None:
    hub.releases["a.bin"] = ONE
    url = f"{hub.url}/releases/a.bin"
    prefix = known("", ONE)["sha256"][:8]
    good, bad = (
        {"files": [{"path": "a.bin", "url": url, "sha256_prefix": digits}]}
        for digits in (prefix, "00000000")
    )
    manifest = write_manifest({"good": good, "bad": bad})
    pull(manifest["good"])
    assert read_pins()["good/a.bin"].verified_by == "prefix"
    with pytest.raises(VerificationError, match="00000000"):
        pull(manifest["bad"])


def test_a_changed_file_is_an_error_and_then_fetched_again(release: Weight) -> None:
    pull(release)
    path = find_file("net")
    path.write_bytes(body(3))  # the same size
    with pytest.raises(VerificationError, match="manifest says"):
        find_file("net")
    assert pull(release).fetched == ("net.pth",)
    assert find_file("net").read_bytes() == ONE


def test_a_touched_file_is_hashed_again_and_found_sound(release: Weight) -> None:
    pull(release)
    os.utime(find_file("net"), (1, 1))
    assert find_file("net").read_bytes() == ONE
    assert read_pins()["net/net.pth"].modified_ns == 10**9


def test_offline_nothing_is_asked(
    weight: Weight, release: Weight, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for one in (weight, release):
        with pytest.raises(MachineError, match="HF_HUB_OFFLINE"):
            pull(one)
    assert hub.requests == []


def test_a_hub_that_is_not_there(
    weight: Weight, monkeypatch: pytest.MonkeyPatch, hub: LoopbackHub
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}",
    )
    with pytest.raises(MachineError, match="cannot be reached"):
        pull(weight)


def test_the_hub_cache_of_other_programs_is_used(weight: Weight, hub: LoopbackHub) -> None:
    from huggingface_hub import constants, hf_hub_download

    fetched = hf_hub_download(
        "org/net", "sub/model.safetensors", cache_dir=constants.HF_HUB_CACHE, endpoint=hub.url
    )
    asked = len(hub.gets("model.safetensors"))
    pulled = pull(weight)
    assert (pulled.reused, pulled.fetched) == (("model.safetensors",), ("conf/config.json",))
    assert len(hub.gets("model.safetensors")) == asked
    ours = find_folder("net") / "model.safetensors"
    assert ours.samefile(fetched)  # one copy on the disk


def test_a_damaged_hub_cache_is_not_used(weight: Weight, hub: LoopbackHub) -> None:
    from huggingface_hub import constants, hf_hub_download

    fetched = hf_hub_download(
        "org/net", "sub/model.safetensors", cache_dir=constants.HF_HUB_CACHE, endpoint=hub.url
    )
    Path(fetched).resolve().write_bytes(body(3))
    assert "model.safetensors" in pull(weight).fetched
    assert (find_folder("net") / "model.safetensors").read_bytes() == ONE


def test_two_at_once(weight: Weight, hub: LoopbackHub) -> None:
    results = []
    threads = [threading.Thread(target=lambda: results.append(pull(weight))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(one.fetched) for one in results) == [0, 2]
    assert len(hub.gets("model.safetensors")) == 1


def test_too_little_room(release: Weight, monkeypatch: pytest.MonkeyPatch) -> None:
    from inscene.weights import download

    monkeypatch.setattr(download, "SPARE_BYTES", 10**18)
    with pytest.raises(MachineError, match="are free"):
        pull(release)


@pytest.mark.parametrize("place", ["net.pth", "net/net.pth"])
def test_from_a_folder(release: Weight, hub: LoopbackHub, tmp_path: Path, place: str) -> None:
    path = tmp_path / "usb" / place
    path.parent.mkdir(parents=True)
    path.write_bytes(ONE)
    assert pull(release, source=tmp_path / "usb").reused == ("net.pth",)
    assert find_file("net").read_bytes() == ONE
    assert hub.requests == []


def test_from_a_folder_that_lacks_it(release: Weight, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lacks net\.pth.*published at"):
        pull(release, source=tmp_path)
    (tmp_path / "net.pth").write_bytes(body(3))
    with pytest.raises(VerificationError, match="manifest says"):
        pull(release, source=tmp_path)
