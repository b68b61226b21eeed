"""What RAW files' directories say: camera, and whether the end is missing."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_dng import Camera, patches, write_dng

from inscene.raw.container import is_cut, make_and_model

DNG = write_dng(patches(rows=1, columns=1), Camera(make="Maker", model="Model 7"))


def tiff(order: str, magic: bytes, make: bytes = b"Some Maker\0", model: bytes = b"X1\0") -> bytes:
    head = magic + struct.pack(order + "I", 8)
    behind = 8 + 2 + 24 + 4
    entries = struct.pack(order + "HHII", 271, 2, len(make), behind)
    entries += struct.pack(order + "HHI", 272, 2, len(model)) + model.ljust(4, b"\0")
    return head + struct.pack(order + "H", 2) + entries + struct.pack(order + "I", 0) + make


@pytest.mark.parametrize(
    ("order", "magic"),
    [("<", b"II*\0"), (">", b"MM\0*"), ("<", b"IIRO"), (">", b"MMOR"), ("<", b"IIU\0")],
)
def test_makers_variants_of_tiff(order: str, magic: bytes) -> None:
    assert make_and_model(tiff(order, magic)) == ("Some Maker", "X1")


def test_fuji_and_canon_hold_a_tiff() -> None:
    inner = tiff("<", b"II*\0")
    fuji = bytearray(b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">II", 200, 500))
    fuji += b"\0" * (200 - len(fuji)) + b"\xff\xd8\xff\xe1\0\0Exif\0\0" + inner
    assert make_and_model(bytes(fuji)) == ("Some Maker", "X1")
    canon = b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + b"\0\0\0\0moov\0\0\0\0CMT1" + inner
    assert make_and_model(canon) == ("Some Maker", "X1")


@pytest.mark.parametrize("data", [b"", b"FOVb" + b"\0" * 100, b"II*\0", b"\0\0\0\x18ftypcrx "])
def test_formats_that_do_not_tell(data: bytes) -> None:
    assert make_and_model(data) == (None, None)


def test_names_are_short_and_printable() -> None:
    made, model = make_and_model(tiff("<", b"II*\0", b"A\x1b[31m \xff  B" + b"c" * 200 + b"\0"))
    assert made is not None
    assert made.isprintable()
    assert made.startswith("A[31m")
    assert (len(made), model) == (64, "X1")


def test_the_end_of_a_dng_is_missed_wherever_it_is_cut() -> None:
    assert make_and_model(DNG) == ("Maker", "Model 7")
    assert not is_cut(DNG)
    assert not is_cut(DNG + b"\0" * 99)
    assert all(is_cut(DNG[:end]) for end in range(8, len(DNG) - 60, 7))


def test_other_files_are_none_of_its_business() -> None:
    assert not is_cut(b"FUJIFILMCCD-RAW" + b"\0" * 100)
    assert not is_cut(b"")


@settings(max_examples=200, deadline=2000)
@given(st.integers(0, 900), st.binary(min_size=1, max_size=8), st.integers(0, len(DNG)))
def test_hostile_directories_end(place: int, bytes_: bytes, end: int) -> None:
    mutant = bytearray(DNG)
    mutant[place : place + len(bytes_)] = bytes_
    made, model = make_and_model(bytes(mutant[:end]))
    assert len(made or "") <= 64
    assert len(model or "") <= 64
    is_cut(bytes(mutant[:end]))


def test_directories_in_a_circle_end() -> None:
    data = bytearray(tiff("<", b"II*\0"))
    data[8 + 2 + 24 : 8 + 2 + 28] = struct.pack("<I", 8)
    assert not is_cut(bytes(data))
