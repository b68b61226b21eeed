"""Reading paths and URLs, and listing folders."""

import contextlib
import os
import socket
import subprocess
import sys

import fsspec
import numpy as np
import pytest
from fsspec.registry import register_implementation

from inscene.errors import MachineError, SampleError, UsageError
from inscene.images import (
    ImageFault,
    Limits,
    decode,
    encode_png,
    iter_image_files,
    pixel_hash,
    read_bytes,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)


def reason(path, limits=None):
    with pytest.raises(SampleError) as caught:
        read_bytes(path, limits or Limits())
    assert caught.value.detail
    caught.value.detail.encode()
    return ImageFault(caught.value.reason)


@pytest.fixture
def names_of_bytes(tmp_path):
    """A folder whose file system keeps any bytes as a name."""
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    return tmp_path


def test_path_and_bytes_give_the_same_pixels(tmp_path):
    data = encode_png(PIXELS)
    (tmp_path / "a.png").write_bytes(data)
    for path in (tmp_path / "a.png", str(tmp_path / "a.png"), f"file://{tmp_path}/a.png"):
        assert pixel_hash(decode(read_bytes(path)).pixels) == pixel_hash(decode(data).pixels)


def test_the_name_says_nothing_about_the_content(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode_png(PIXELS))
    assert decode(read_bytes(tmp_path / "a.jpg")).format == "PNG"


@pytest.mark.parametrize(
    "name", ["new\nline.png", "名前 😀.png", " .png", "-rf.png", "a'\"$(b).png"]
)
def test_odd_names(tmp_path, name):
    (tmp_path / name).write_bytes(b"content")
    assert read_bytes(tmp_path / name) == b"content"
    assert list(iter_image_files(tmp_path)) == [tmp_path / name]


def test_names_that_are_not_unicode(names_of_bytes):
    (found,) = iter_image_files(names_of_bytes)
    assert os.fsencode(found.name) == b"caf\xe9.png"
    assert read_bytes(found) == b"x"
    found.unlink()
    found.symlink_to(os.fsdecode(b"nowhere\xe9"))
    assert reason(found) is ImageFault.BROKEN_SYMLINK


def test_what_is_no_file(tmp_path):
    assert reason(tmp_path) is ImageFault.IS_A_DIRECTORY
    assert reason(tmp_path / "missing.png") is ImageFault.FILE_MISSING
    (tmp_path / "empty.png").touch()
    assert reason(tmp_path / "empty.png") is ImageFault.EMPTY_FILE
    assert reason(tmp_path / "empty.png" / "below.png") is ImageFault.FILE_MISSING
    assert reason(tmp_path / ("n" * 5000)) is ImageFault.FILE_UNREADABLE
    assert reason("a\0b.png") is ImageFault.FILE_UNREADABLE


def test_links(tmp_path):
    (tmp_path / "broken.png").symlink_to("nowhere.png")
    assert reason(tmp_path / "broken.png") is ImageFault.BROKEN_SYMLINK
    (tmp_path / "circle.png").symlink_to("circle.png")
    assert reason(tmp_path / "circle.png") is ImageFault.BROKEN_SYMLINK
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "good.png").symlink_to("real")
    assert read_bytes(tmp_path / "good.png") == b"content"


@pytest.mark.timeout(20)
def test_pipes_sockets_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert reason(tmp_path / "pipe.png") is ImageFault.SPECIAL_FILE
    assert reason(f"file://{tmp_path}/pipe.png") is ImageFault.SPECIAL_FILE
    assert reason("/dev/zero") is ImageFault.SPECIAL_FILE
    with contextlib.chdir(tmp_path), socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")
        assert reason("socket.png") is ImageFault.SPECIAL_FILE


def test_forbidden_files(tmp_path):
    """In a process of its own, because nothing is forbidden to root."""
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "secret.png").chmod(0)
    program = """
import os, sys
from inscene.images import read_bytes
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    read_bytes(sys.argv[1])
except Exception as error:
    print(error.reason)
"""
    path = str(tmp_path / "secret.png")
    run = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert run.stdout.strip() == ImageFault.PERMISSION_DENIED, run.stderr


def test_the_byte_limit_is_inclusive(tmp_path):
    (tmp_path / "a.png").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a.png", Limits(max_bytes=5)) == b"12345"
    assert reason(tmp_path / "a.png", Limits(max_bytes=4)) is ImageFault.FILE_TOO_LARGE


def test_urls():
    with fsspec.open("memory://test-images/a.png", "wb") as file:
        file.write(b"12345")
    assert read_bytes("memory://test-images/a.png") == b"12345"
    assert reason("memory://test-images/a.png", Limits(max_bytes=4)) is ImageFault.FILE_TOO_LARGE
    assert reason("memory://test-images/b.png") is ImageFault.FILE_MISSING
    assert reason("memory://test-images") in (ImageFault.IS_A_DIRECTORY, ImageFault.FILE_MISSING)
    assert reason("nosuchscheme://a/b.png") is ImageFault.FILE_UNREADABLE


def test_a_scheme_without_its_package_is_the_machines_lack():
    register_implementation("absent", "no_such_package.FS", clobber=True, errtxt="Install absentfs")
    with pytest.raises(MachineError, match="Install absentfs"):
        read_bytes("absent://bucket/a.png")


# --- listing --------------------------------------------------------------------------------------


def tree(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def listed(root):
    return [path.relative_to(root).as_posix() for path in iter_image_files(root)]


def test_listing_is_recursive_sorted_and_by_suffix(tmp_path):
    tree(tmp_path, "b/2.JPG", "b/10.jpeg", "a.PNG", "Z.webp", "b.heic", "notes.txt", "b/raw.dng")
    assert listed(tmp_path) == ["Z.webp", "a.PNG", "b/10.jpeg", "b/2.JPG", "b.heic"]


def test_hidden_names_are_skipped(tmp_path):
    tree(tmp_path, ".hidden.png", ".cache/a.png", "__MACOSX/._a.png", "seen.png", ".png")
    assert listed(tmp_path) == ["seen.png"]


def test_nothing_that_is_named_like_an_image_vanishes(tmp_path):
    tree(tmp_path, "folder.png/inside.jpg")
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    os.mkfifo(tmp_path / "pipe.gif")
    assert listed(tmp_path) == [
        "broken.jpg",
        "circle.jpg",
        "folder.png",
        "folder.png/inside.jpg",
        "pipe.gif",
    ]


@pytest.mark.timeout(20)
def test_linked_folders_are_followed_once(tmp_path):
    tree(tmp_path, "data/z/1.png", "elsewhere/2.png")
    root = tmp_path / "data"
    (root / "a-link-to-z").symlink_to("z")  # sorts before the real folder, which still wins
    (root / "loop").symlink_to(".")
    (root / "z" / "up").symlink_to("..")
    (root / "other").symlink_to(tmp_path / "elsewhere")
    assert listed(root) == ["other/2.png", "z/1.png"]


def test_a_folder_that_cannot_be_listed_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot list"):
        list(iter_image_files(tmp_path / "missing"))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot list"):
        list(iter_image_files(tmp_path / "file"))


def test_a_subfolder_that_cannot_be_listed_is_yielded(tmp_path, monkeypatch):
    tree(tmp_path, "a.png", "locked/b.png")
    real_scandir = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real_scandir(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert listed(tmp_path) == ["a.png", "locked"]
    assert reason(tmp_path / "locked") is ImageFault.IS_A_DIRECTORY
