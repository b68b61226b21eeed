"""Methods that are other programs: small repositories that work, crash, hang and misbehave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from inscene.bench.methods import Method, Sample, find_method, what_is_missing
from inscene.bench.methods.command import safe_stem
from inscene.errors import MachineError, SampleError

ODD_IDS = (
    "anna/01 a.jpg", "anna/01_a.jpg", "-rf.png", "--help", "ü@ñ/写真.png", "a'b\"c;$(x).jpg",
    "x.y.z", "A", "a", "%s{input}*?[0]", "n" * 300,
)  # fmt: skip
"""Slashes, blanks, dashes, quotes, patterns, case, length."""

# What a foreign repository does with --input and --output, for files or folders.
SCRIPT = """
import argparse, os, pathlib, shutil, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--input", type=pathlib.Path)
parser.add_argument("--output", type=pathlib.Path)
parser.add_argument("--references", type=pathlib.Path)
args = parser.parse_args()
single = args.input.is_file()
for path in [args.input] if single else sorted(args.input.iterdir()):
    target = args.output if single else args.output / path.name
    bad = path.name.startswith("bad")
    print("restoring", path.name, flush=True)
{body}
"""
COPY = "shutil.copy(path, target)"


@pytest.fixture(autouse=True)
def _own_methods_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSCENE_METHODS", str(tmp_path / "methods"))


Make = Callable[..., Method]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(body: str, scope: str = "folder", **changes: object) -> Method:
        repo = tmp_path / "repo"
        repo.mkdir(exist_ok=True)
        (repo / "run.py").write_text(SCRIPT.format(body=textwrap.indent(body, "    ")))
        manifest = {
            "kind": "command",
            "title": "A fake",
            "source": "https://example.org/fake",
            "licence": "none",
            "commit": None,
            "checkout": "repo",
            "python": sys.executable,
            "command": ["{python}", "run.py", "--input", "{input}", "--output", "{output}"],
            "scope": scope,
            "timeout_s": 20,
            "upscale": 1,
            **changes,
        }
        path = tmp_path / "fake.yaml"
        path.write_text(yaml.safe_dump(manifest))
        return find_method(str(path))

    return make


def sample(name: str, value: int = 100) -> Sample:
    return Sample(name, 0, np.full((6, 8, 3), value, np.uint8), (8, 6))


def three() -> list[Sample]:
    return [sample("good1", 10), sample("bad", 20), sample("good2", 30)]


def outcomes(method: Method, samples: list[Sample]) -> list[object]:
    """Each sample's first value, or why it has none."""
    return [
        result.reason if isinstance(result, SampleError) else int(result.image[0, 0, 0])
        for result in method.restore_many(samples)
    ]


def the_log(tmp_path: Path) -> str:
    (log,) = (tmp_path / "methods" / "_logs" / "fake").iterdir()
    return log.read_text()


SCOPES = pytest.mark.parametrize("scope", ["folder", "image"])


@SCOPES
def test_it_works_whatever_the_samples_are_called(make: Make, scope: str) -> None:
    samples = [sample(name, value) for value, name in enumerate(ODD_IDS)]
    samples.append(Sample(ODD_IDS[0], 3, samples[0].lq + 200, (8, 6)))
    results = make(COPY, scope).restore_many(samples)
    for result, one in zip(results, samples, strict=True):
        assert not isinstance(result, SampleError)
        assert np.array_equal(result.image, one.lq)


def test_a_folder_is_one_run(make: Make, tmp_path: Path) -> None:
    assert outcomes(make(COPY), three()) == [10, 20, 30]
    assert the_log(tmp_path).count("$ ") == 1


@SCOPES
def test_a_crash_fails_its_own_sample(make: Make, scope: str, tmp_path: Path) -> None:
    body = f"if bad: sys.exit('out of memory')\n{COPY}"
    results = make(body, scope).restore_many(three())
    crash = results[1]
    assert isinstance(crash, SampleError)
    assert crash.reason == "method_crashed"
    assert crash.detail.startswith("exit code 1: out of memory; log: ")
    assert Path(crash.detail.partition("log: ")[2]).expanduser().is_file()
    good = [int(result.image[0, 0, 0]) for result in (results[0], results[2])]  # type: ignore[union-attr]
    assert good == [10, 30]
    assert "out of memory" in the_log(tmp_path)


def test_what_a_failed_folder_run_has_written_is_used(make: Make, tmp_path: Path) -> None:
    body = f"{COPY}\nif path.name.startswith('good2'): os.kill(os.getpid(), 9)"
    assert outcomes(make(body), three()) == [10, 20, 30]
    assert the_log(tmp_path).count("$ ") == 1


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGPIPE", "SIGINT", "SIGTERM"])
def test_a_signal_is_named(make: Make, name: str) -> None:
    body = "import signal\nsignal.signal({0}, signal.SIG_DFL)\nos.kill(os.getpid(), {0})"
    if name == "SIGKILL":
        body = "import signal\nos.kill(os.getpid(), {0})"
    with pytest.raises(SampleError, match=f"method_crashed: killed by {name}: restoring"):
        make(body.format(f"signal.{name}")).restore(sample("x"))


@SCOPES
def test_a_hang_fails_its_own_sample(make: Make, scope: str, tmp_path: Path) -> None:
    body = f"if bad: time.sleep(600)\n{COPY}"
    started = time.monotonic()
    assert outcomes(make(body, scope, timeout_s=2.5), three()) == [10, "method_timeout", 30]
    assert time.monotonic() - started < 40
    assert "[inscene] stopped after" in the_log(tmp_path)


def test_a_wrong_size_is_for_the_step_to_refuse(make: Make) -> None:
    body = "from PIL import Image; Image.new('RGB', (5, 4)).save(target)"
    assert make(body).restore(sample("x")).shape == (4, 5, 3)
    assert make(body, resize_to_gt="lanczos").restore(sample("x")).shape == (6, 8, 3)


@SCOPES
def test_nothing_written(make: Make, scope: str, tmp_path: Path) -> None:
    body = f"if bad: continue\n{COPY}"
    assert outcomes(make(body, scope), three()) == [10, "output_missing", 30]
    assert the_log(tmp_path).count("$ ") == (1 if scope == "folder" else 3)


@SCOPES
@pytest.mark.parametrize("garbage", ["target.write_text('no image')", "target.touch()"])
def test_garbage_written(make: Make, scope: str, garbage: str) -> None:
    body = f"if bad:\n    {garbage}\n    continue\n{COPY}"
    assert outcomes(make(body, scope), three()) == [10, "output_unreadable", 30]


def test_half_a_file_of_a_killed_run_is_no_output(make: Make) -> None:
    body = (
        "if bad:\n    target.write_bytes(path.read_bytes()[:-20]); os.kill(os.getpid(), 9)\n" + COPY
    )
    assert outcomes(make(body), three()) == [10, "method_crashed", 30]


def test_output_names_have_a_pattern(make: Make) -> None:
    body = (
        "folder = target.parent / 'faces'; folder.mkdir(exist_ok=True)\n"
        "shutil.copy(path, folder / f'{path.stem}_00.png')\n"
        "if bad: shutil.copy(path, folder / f'{path.stem}_01.png')"
    )
    method = make(body, output="out/faces/{stem}_*.png")
    assert outcomes(method, three()) == [10, "output_ambiguous", 30]


def test_secrets_are_not_passed_on(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "GITHUB_PAT", "MY_LITTLE_THING")
    for name in secrets:
        monkeypatch.setenv(name, "s3cr3t")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s3cr3t@proxy")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setenv("PYTHONPATH", "/of/this/python")
    make(f"print(dict(os.environ))\n{COPY}").restore(sample("x"))
    log = the_log(tmp_path)
    assert "s3cr3t" not in log
    assert not [name for name in (*secrets, "PYTHONPATH") if name in log]
    assert "'CUDA_VISIBLE_DEVICES': '7'" in log


CHILD = """
import subprocess
code = "import os, sys, time; {0}; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", code, {1!r}], start_new_session={2})
while not (os.path.exists({1!r}) and open({1!r}).read()): time.sleep(0.01)
"""


def gone(pid: int) -> bool:
    """Within a moment; a process that somebody else must collect has ended too."""
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("new_session", [False, True])
@pytest.mark.parametrize("ends", ["normally", "crashes", "hangs"])
def test_no_grandchild_outlives_it(
    make: Make, tmp_path: Path, new_session: bool, ends: str
) -> None:
    if new_session and sys.platform != "linux":
        pytest.skip("only Linux hands orphans over")
    mark = str(tmp_path / "pid")
    end = {"normally": COPY, "crashes": "os._exit(3)", "hangs": "time.sleep(600)"}[ends]
    body = CHILD.format("pass", mark, new_session) + end
    timeout_s = 3 if ends == "hangs" else 20
    result = outcomes(make(body, timeout_s=timeout_s), [sample("x")])
    reasons = {"normally": 100, "crashes": "method_crashed", "hangs": "method_timeout"}
    assert result == [reasons[ends]]
    assert gone(int(Path(mark).read_text()))
    assert not [
        child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE
    ]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_worker(make: Make, tmp_path: Path, how: signal.Signals) -> None:
    mark = tmp_path / "pid"
    make(f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    code = (
        "import sys, numpy as np\n"
        "from inscene.bench.methods import Sample, find_method\n"
        "lq = np.zeros((6, 8, 3), np.uint8)\n"
        "find_method(sys.argv[1]).restore(Sample('x', 0, lq, (8, 6)))\n"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    worker = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "fake.yaml")],
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    try:
        for _ in range(400):
            if mark.exists() and mark.read_text():
                break
            time.sleep(0.05)
        worker.send_signal(how)
        _, error = worker.communicate(timeout=20)
    finally:
        worker.kill()
        worker.wait()
    assert gone(int(mark.read_text()))
    for _ in range(100):
        if not list(temporary.iterdir()):
            break
        time.sleep(0.05)
    assert list(temporary.iterdir()) == []
    if how == signal.SIGINT:
        assert b"KeyboardInterrupt" in error


def test_references(make: Make) -> None:
    body = "assert len(list(args.references.iterdir())) == 2\n" + COPY
    command = ["{python}", "run.py", "--input", "{input}", "--output", "{output}"]
    command += ["--references", "{references}"]
    method = make(body, "image", command=command)
    lq = np.zeros((6, 8, 3), np.uint8)
    assert method.restore(Sample("x", 0, lq, (8, 6), (lq, lq))).shape == lq.shape
    assert outcomes(method, [sample("y")]) == ["references_missing"]


def test_files_are_written_beside_the_images(make: Make) -> None:
    body = (
        "text = args.references.read_text()\n"
        "assert text == 'in: ' + str(args.input) + ' {x}', text\n" + COPY
    )
    command = ["{python}", "run.py", "--input", "{input}", "--output", "{output}"]
    command += ["--references", "{work}/config.yaml"]
    method = make(body, command=command, files={"config.yaml": "in: {input} {{x}}"})
    assert outcomes(method, three()) == [10, 20, 30]


def test_what_it_is_not_made_for_is_refused_before_it_runs(make: Make, tmp_path: Path) -> None:
    assert outcomes(make(COPY, upscale=4), [sample("x")]) == ["upscale_mismatch"]
    assert outcomes(make(COPY, faces="aligned512"), [sample("x")]) == ["not_an_aligned_face"]
    assert not (tmp_path / "methods").exists()


def test_what_the_machine_lacks_ends_the_run(make: Make, tmp_path: Path) -> None:
    weights = [{"path": "w/net.pth", "from": "a friend"}, {"path": None, "from": "the Hub"}]
    method = make(COPY, python="{checkout}/env/python", weights=weights, commit="a" * 40)
    interpreter, commit, weight = sorted(what_is_missing(method), key=lambda text: text[-5:])[:3]
    found = " ".join((interpreter, commit, weight))
    assert "No interpreter at" in found
    assert "unknown commit, not at aaaaaaaaaaaa" in found
    assert "net.pth: they come from a friend" in found
    with pytest.raises(MachineError, match="cannot run here"):
        method.restore_many(three())
    (tmp_path / "repo").rename(tmp_path / "elsewhere")
    (only,) = what_is_missing(make_missing(tmp_path))
    assert "git clone https://example.org/fake" in only


def make_missing(tmp_path: Path) -> Method:
    return find_method(str(tmp_path / "fake.yaml"))


def test_the_commit_that_is_there(make: Make, tmp_path: Path) -> None:
    make(COPY)
    git = ["git", "-C", str(tmp_path / "repo"), "-c", "user.name=x", "-c", "user.email=x@y"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    method = make(COPY, commit=head.stdout.strip())
    assert what_is_missing(method) == []
    assert method.fingerprint()["commit"] == head.stdout.strip()
    (elsewhere,) = what_is_missing(make(COPY, commit="b" * 40))
    assert head.stdout[:12] in elsewhere


def test_the_fingerprint_is_json_and_follows_what_decides(make: Make) -> None:
    first = make(COPY).fingerprint()
    assert json.loads(json.dumps(first)) == first
    assert make(COPY, title="Another title", timeout_s=5).fingerprint() == first
    assert make(COPY, seed=5).fingerprint() != first
    assert make(COPY, resize_to_gt="lanczos").fingerprint() != first


def test_stems_are_safe_and_unlike_each_other() -> None:
    stems = [safe_stem(sample(name)) for name in ODD_IDS]
    assert len(set(stems)) == len(stems)
    assert all(stem.replace("_", "").isalnum() and stem.isascii() for stem in stems)
    assert max(map(len, stems)) < 64


def test_nothing_is_left_in_the_temporary_folder(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    os.mkdir(tmp_path / "temporary")
    make("sys.exit(1)").restore_many(three())
    assert list((tmp_path / "temporary").iterdir()) == []
