"""What lies where in a tar: as the standard library sees sound ones, and safely in all others."""

from __future__ import annotations

import gzip
import io
import itertools
import tarfile
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tar_files import claiming, special, tar_bytes

from inscene.dataset.tar import MAX_HEADER_BYTES, Kind, TarEntry, tar_entries
from inscene.errors import SampleError

KINDS = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.DIRTYPE: Kind.FOLDER,
    tarfile.SYMTYPE: Kind.LINK,
    tarfile.LNKTYPE: Kind.LINK,
    tarfile.FIFOTYPE: Kind.SPECIAL,
    tarfile.CHRTYPE: Kind.SPECIAL,
}
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


class Counting(io.BytesIO):
    """Of what is asked for, not of what is given: that is what would be allocated."""

    asked = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0, "all of it"
        self.asked += size
        return super().read(size)


def walked(data: bytes) -> tuple[list[TarEntry], str | None]:
    file = Counting(data)
    found: list[TarEntry] = []
    reason = None
    try:
        for entry in tar_entries(file, len(data)):
            found.append(entry)
    except SampleError as error:
        reason = error.reason
    assert file.asked <= len(data) + 512 + MAX_HEADER_BYTES
    assert all(one.start < other.start for one, other in itertools.pairwise(found))
    return found, reason


_names = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/"), min_size=1
)
_members = st.lists(
    st.tuples(_names, st.sampled_from(sorted(KINDS)), st.integers(0, 1500)), max_size=6
)


@settings(max_examples=60, deadline=None)
@given(_members, st.sampled_from(FORMATS), st.integers(0, 3))
@example([("x" * 300, tarfile.REGTYPE, 3), ("ü" * 90, tarfile.SYMTYPE, 0)], tarfile.GNU_FORMAT, 0)
@example([("x" * 300, tarfile.REGTYPE, 3), ("ü" * 90, tarfile.REGTYPE, 9)], tarfile.PAX_FORMAT, 0)
@example([("a" * 90, tarfile.REGTYPE, 513)], tarfile.USTAR_FORMAT, 1)
def test_sound_archives_are_seen_as_the_standard_library_sees_them(
    members: list[tuple[str, bytes, int]], format: int, depth: int
) -> None:
    made: list[tuple[str | tarfile.TarInfo, bytes]] = []
    for name, kind, size in members:
        info, _ = special("folder/" * depth + name, kind, link="elsewhere" * 20)
        info.size = size if kind == tarfile.REGTYPE else 0
        made.append((info, b"\1" * info.size))
    try:
        data = tar_bytes(made, format)
    except ValueError:  # too long for the format, or not of its alphabet
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        theirs = [(one.name, KINDS[one.type], one.offset_data, one.size) for one in tar]
    ours, reason = walked(data)
    assert reason is None
    found = [(one.name, one.kind, one.start, one.size) for one in ours]
    assert found == [(n + "/" if k is Kind.FOLDER else n, k, o, s) for n, k, o, s in theirs]


SMALL = tar_bytes(
    [("a.jpg", b"1" * 700), ("x" * 200, b"2"), special("link", tarfile.SYMTYPE, "a"), ("b", b"3")]
)
WHOLE, _ = walked(SMALL)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=4))
def test_changed_bytes_end_in_a_reason_or_in_nothing(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for place, value in changes:
        data[place] = value
    found, reason = walked(bytes(data))
    assert len(found) <= len(data) // 512
    assert reason in (None, "archive_corrupt", "archive_truncated", "archive_compressed")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_at_all(data: bytes) -> None:
    found, reason = walked(data)
    assert found or reason or not any(data[:512])


def test_cut_anywhere_what_came_before_is_kept() -> None:
    end = WHOLE[-1].start + 512  # behind it are zeros
    for length in range(0, end, 64):
        found, reason = walked(SMALL[:length])
        assert found == WHOLE[: len(found)]
        beyond = [one for one in found if one.start + one.size > length]
        assert beyond == found[-1:] if beyond else reason == "archive_truncated"


def test_a_damaged_header_is_no_end() -> None:
    """To the standard library it is, and what follows is gone without a word."""
    header = WHOLE[-1].start - 512
    data = SMALL[:header] + b"\7" + SMALL[header + 1 :]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert len(tar.getmembers()) == len(WHOLE) - 1
    assert walked(data) == (WHOLE[:-1], "archive_corrupt")


@pytest.mark.parametrize("size", [2**40, 2**62, 2**80])
def test_claimed_sizes_are_believed_by_nobody(size: int) -> None:
    (entry,), reason = walked(SMALL[:0] + claiming("big.jpg", size) + SMALL)
    assert (entry.size, reason) == (size, None)


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g"])
def test_headers_of_gigabytes_are_not_read(kind: bytes) -> None:
    info = tarfile.TarInfo("long")
    info.size, info.type = 2**33, kind
    data = info.tobuf(format=tarfile.GNU_FORMAT) + bytes(1024)
    assert walked(data) == ([], "archive_corrupt")


def test_negative_sizes_do_not_lead_back() -> None:
    header = bytearray(claiming("a.jpg", 5))
    header[124:136] = b"\xff" * 11 + b"\0"
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * 32)
    assert walked(bytes(header) + bytes(1024)) == ([], "archive_corrupt")


def test_thousands_of_headers_before_a_file_take_no_time() -> None:
    """Nested headers exhaust a stack elsewhere; digits without end are quadratic there."""
    info = tarfile.TarInfo("././@LongLink")
    info.size, info.type = 1, b"L"
    many = (info.tobuf(format=tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")) * 5000
    digits = tarfile.TarInfo("digits")
    digits.size, digits.type = 60_000, b"x"
    slow = digits.tobuf(format=tarfile.GNU_FORMAT) + b"1" * 60_000 + bytes(-60_000 % 512)
    began = time.perf_counter()
    assert [one.name for one in walked(many + tar_bytes([("a", b"")]))[0]] == ["x"]
    assert walked(slow + SMALL) == ([], "archive_corrupt")
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "records",
    [b"", b"12 path=", b"99 path=x\n", b"3 \n", b"x path=a\n", b"14 size=minus1\n", b"7 path\n"],
)
def test_damaged_pax_records(records: bytes) -> None:
    info = tarfile.TarInfo("pax")
    info.size, info.type = len(records), b"x"
    header = info.tobuf(format=tarfile.GNU_FORMAT) + records + bytes(-len(records) % 512)
    found, reason = walked(header + tar_bytes([("a", b"1")]))
    if not records:
        assert [one.name for one in found] == ["a"]
    else:
        assert (found, reason) == ([], "archive_corrupt")


def test_global_headers_may_comment_but_not_rename() -> None:
    """``git archive`` writes its commit there."""

    def archive(records: dict[str, str]) -> bytes:
        file = io.BytesIO()
        with tarfile.open(
            fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers=records
        ) as tar:
            tar.addfile(tarfile.TarInfo("a"))
        return file.getvalue()

    assert [one.name for one in walked(archive({"comment": "4f1"}))[0]] == ["a"]
    assert walked(archive({"path": "/etc/passwd"})) == ([], "archive_corrupt")


def test_sparse_files_of_both_kinds_are_named_so() -> None:
    old = tarfile.TarInfo("old")
    old.type = b"S"
    header = bytearray(old.tobuf(format=tarfile.GNU_FORMAT))
    header[482] = 1  # one more block of its map
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    new = tarfile.TarInfo("new")
    new.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": str(2**50)}
    tail = tar_bytes([(new, b""), ("after", b"1")])
    found, reason = walked(bytes(header) + bytes(512) + tail)
    assert reason is None
    assert [(one.name, one.kind) for one in found] == [
        ("old", Kind.SPARSE),
        ("new", Kind.SPARSE),
        ("after", Kind.FILE),
    ]


def test_compressed_archives_are_told_by_content() -> None:
    assert walked(gzip.compress(SMALL)) == ([], "archive_compressed")
    assert walked(b"PK\x03\x04" + bytes(600)) == ([], "archive_compressed")
