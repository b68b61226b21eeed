"""LibRaw's process: it may crash, hang and speak nonsense, and the next file is developed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

pytest.importorskip("rawpy")

import stub_libraw
from made_dng import patches, write_dng

from inscene.errors import MachineError, SampleError
from inscene.raw.decoder import CRASH, TIMEOUT, RawDecoder
from inscene.raw.settings import Settings

GOOD = write_dng(patches(rows=1, columns=2))
SETTINGS = Settings(bits=16)


@pytest.fixture
def stub() -> Iterator[RawDecoder]:
    decoder = RawDecoder(SETTINGS, 30, stub_libraw.PROGRAM)
    yield decoder
    decoder.close()


def reason(decoder: RawDecoder, data: bytes) -> str:
    with pytest.raises(SampleError) as failed:
        decoder.develop(data)
    return failed.value.reason


def children() -> list[int]:
    here = psutil.Process().children()
    return [child.pid for child in here if "stub_libraw" in " ".join(child.cmdline())]


def test_the_child_develops_as_this_process_does() -> None:
    from inscene.raw.develop import develop

    decoder, here = RawDecoder(SETTINGS, 30), develop(GOOD, SETTINGS)
    pixels, facts = decoder.develop(GOOD)
    decoder.close()
    assert np.array_equal(pixels, here.pixels)
    assert pixels.dtype == here.pixels.dtype
    assert facts == here.facts


def test_a_crash_costs_its_own_file(stub: RawDecoder) -> None:
    first, _ = stub.develop(GOOD)
    for word in (b"CRASH", b"EXIT", b"BUG"):
        assert reason(stub, word + b"\n") == CRASH
    again, _ = stub.develop(GOOD)
    assert np.array_equal(first, again)
    assert len(children()) == 1


def test_what_a_crash_was_is_said_without_a_process_id(stub: RawDecoder) -> None:
    with pytest.raises(SampleError, match=r"killed by SIGSEGV$"):
        stub.develop(b"CRASH\n")


def test_a_hang_ends_in_time() -> None:
    """Even one that holds the interpreter."""
    decoder = RawDecoder(SETTINGS, 1, stub_libraw.PROGRAM)
    decoder.start()
    start = time.monotonic()
    assert reason(decoder, b"HANG\n") == TIMEOUT
    assert time.monotonic() - start < 10
    assert not children()


def test_a_file_pays_for_nothing_that_another_did(stub: RawDecoder) -> None:
    """What crashes a child that has worked before is tried in a fresh one."""
    stub.develop(GOOD)
    pixels, _ = stub.develop(b"DAMAGED\n" + GOOD)
    assert np.array_equal(pixels, stub.develop(GOOD)[0])


def test_what_libraries_print_is_no_answer(stub: RawDecoder) -> None:
    pixels, _ = stub.develop(b"PRINT\n" + GOOD)
    assert pixels.shape == (32, 64, 3)


def test_a_files_own_reason_leaves_the_child_alive(stub: RawDecoder) -> None:
    stub.develop(GOOD)
    (before,) = children()
    assert reason(stub, b"II*\0" + b"x" * 100) != CRASH
    stub.develop(GOOD)
    assert children() == [before]


def test_a_child_that_died_between_two_files_is_replaced(stub: RawDecoder) -> None:
    stub.develop(GOOD)
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    assert stub.develop(GOOD)[0].shape == (32, 64, 3)


def test_nonsense_is_no_image() -> None:
    head = '{"shape": [1000000, 1000000, 3], "dtype": "uint16", "facts": {}}'
    program = f"print('{{}}', flush=True); input(); print('{head}', flush=True); input()"
    assert reason(RawDecoder(SETTINGS, 30, program), GOOD) == CRASH


def test_what_is_missing_is_said_before_anything_is_read() -> None:
    decoder = RawDecoder(SETTINGS, 30, "import no_such_package")
    with pytest.raises(MachineError, match="No module named 'no_such_package'"):
        decoder.start()


@pytest.mark.parametrize("word", ["GOOD", "SLOW"])
def test_a_killed_owner_leaves_no_child(word: str) -> None:
    script = f"""
import stub_libraw, threading, sys
from inscene.raw.decoder import RawDecoder
from inscene.raw.settings import Settings
decoder = RawDecoder(Settings(), 30, stub_libraw.PROGRAM)
decoder.start()
print(decoder._child._process.pid, flush=True)
decoder.develop(b"{word}\\n") if "{word}" == "SLOW" else sys.stdin.read()
"""
    owner = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{script}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    assert owner.stdin is not None
    child = psutil.Process(int(owner.stdout.readline()))
    owner.kill()
    owner.communicate()
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running()
