"""Plans: every image has one job, the same whoever makes it, and nothing is lost in silence."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inscene.errors import UsageError
from inscene.synthetic.jobs import Job, Plan, job_id, plan_from_csv, plan_from_grammar, seed_of
from inscene.synthetic.prompts.authors_csv import read_authors_csv
from inscene.synthetic.prompts.gender import GenderMap
from inscene.synthetic.prompts.grammar import Grammar
from inscene.synthetic.prompts.packs import load_packs, load_words
from inscene.synthetic.split import IdentitySplit, check_disjoint, split_by_hash

GRAMMAR = Grammar(load_packs(), load_words())
REAL = Path(__file__).parents[3] / "shared/data/inscene/eval_prompts.csv"
PHOTO = b"a photo; planning never reads it"

CSV = """\
prompt,identity,file_id
"Full-body, by the gate.",00289,11.png
a full-body view,00289,11.png
a mid-up view,00289,3.png
a full-body view,00289,11.png
a mid-up view,00070,0.png
"""


def folder(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PHOTO)
    return root


@pytest.fixture
def people(tmp_path: Path) -> Path:
    names = [f"{who:05}/{file}.png" for who in range(12) for file in range(who % 3 + 1)]
    return folder(tmp_path / "refs", names)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.csv"
    path.write_text(CSV)
    return path


def test_a_plan_of_the_grammar(people: Path) -> None:
    plan = plan_from_grammar(people, GRAMMAR, seed=1)
    assert len(plan.jobs) == 24 * 3
    assert plan.problems == ()
    for job in plan.jobs:
        assert (people / job.reference).read_bytes() == PHOTO
        assert job.reference == f"{job.identity}/{job.file_id}"
        assert job.split == plan.split.split_of(job.identity)
        assert job.slots["place"] in job.prompt
        assert (job.shot, job.repeat, job.grammar) == ("full-body", 0, GRAMMAR.version)
        assert job.id == job_id(job.identity, job.file_id, job.prompt, job.repeat)
        stem = job.file_id.removesuffix(".png")
        assert job.sample_id.startswith(f"{job.identity}/{stem}-")
        assert job.sample_id.endswith("-r0")
    assert_sound(plan)


def assert_sound(plan: Plan) -> None:
    ids = [job.id for job in plan.jobs]
    assert ids == sorted(set(ids))
    assert len({job.sample_id for job in plan.jobs}) == len(ids)
    check_disjoint((job.identity, job.split) for job in plan.jobs)


def test_numbers_of_images(people: Path) -> None:
    each = plan_from_grammar(people, GRAMMAR, seed=1, per_reference=2, repeats=3)
    assert len(each.jobs) == 24 * 2 * 3
    assert Counter(job.repeat for job in each.jobs) == {0: 48, 1: 48, 2: 48}
    assert_sound(each)
    plan = plan_from_grammar(people, GRAMMAR, seed=1, per_identity=4)
    assert set(Counter(job.identity for job in plan.jobs).values()) == {4}
    files = Counter((job.identity, job.file_id) for job in plan.jobs)
    assert set(files[f"{who:05}", "0.png"] for who in (0, 3, 6, 9)) == {4}  # who has one photo
    assert set(files[f"{who:05}", "0.png"] for who in (1, 4, 7, 10)) == {2}
    more = plan_from_grammar(people, GRAMMAR, seed=1, per_identity=5)
    assert {job.id for job in plan.jobs} < {job.id for job in more.jobs}
    for name in ("per_reference", "per_identity", "repeats"):
        with pytest.raises(UsageError, match=f"{name} is 0"):
            plan_from_grammar(people, GRAMMAR, seed=1, **{name: 0})


def test_a_plan_depends_on_its_inputs_only(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_from_grammar(people, GRAMMAR, seed=1)
    moved = tmp_path / "elsewhere" / "other"
    shutil.copytree(people, moved)
    real = os.scandir

    class Shuffled:
        def __init__(self, path: object) -> None:
            self.entries = list(real(path))  # type: ignore[call-overload]
            random.shuffle(self.entries)

        def __enter__(self) -> object:
            return iter(self.entries)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Shuffled)
    assert plan_from_grammar(moved, GRAMMAR, seed=1) == plan
    assert {job.id for job in plan_from_grammar(moved, GRAMMAR, seed=2).jobs}.isdisjoint(
        job.id for job in plan.jobs
    )


def test_jobs_travel_between_processes(people: Path) -> None:
    plan = plan_from_grammar(people, GRAMMAR, seed=1)
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert len(set(plan.jobs)) == len(plan.jobs)  # they can be keys


def test_one_persons_folder(tmp_path: Path) -> None:
    root = folder(tmp_path / "ada", ["1.png", "2.jpg"])
    plan = plan_from_grammar(root, GRAMMAR, seed=0, per_reference=1)
    assert {(job.identity, job.reference) for job in plan.jobs} == {
        ("ada", "1.png"),
        ("ada", "2.jpg"),
    }


def test_files_that_differ_in_their_ending_only(tmp_path: Path) -> None:
    root = folder(tmp_path / "refs", ["a/1.png", "a/1.jpg", "a/more/1.png"])
    plan = plan_from_grammar(root, GRAMMAR, seed=0)
    assert len(plan.jobs) == 9
    assert len({job.prompt for job in plan.jobs}) == 9
    assert_sound(plan)


def test_genders_and_splits_are_complete_or_refused(people: Path) -> None:
    everybody = {f"{who:05}": "woman" if who % 2 else "man" for who in range(12)}
    plan = plan_from_grammar(people, GRAMMAR, seed=1, genders=GenderMap(everybody, "map.json"))  # type: ignore[arg-type]
    assert all(job.slots["subject"] == everybody[job.identity] for job in plan.jobs)
    neutral = plan_from_grammar(people, GRAMMAR, seed=1)
    assert {job.slots["subject"] for job in neutral.jobs} == {"person"}
    del everybody["00007"]
    with pytest.raises(UsageError, match=r"map.json: does not name '00007'"):
        plan_from_grammar(people, GRAMMAR, seed=1, genders=GenderMap(everybody, "map.json"))  # type: ignore[arg-type]
    given_split = split_by_hash(everybody, validation=5)
    with pytest.raises(UsageError, match="'00007' is in no split"):
        plan_from_grammar(people, GRAMMAR, seed=1, split=given_split)


def test_references_that_cannot_be_used(people: Path) -> None:
    (people / "00002/empty.png").touch()
    (people / "00002/gone.png").symlink_to(people / "nowhere.png")
    folder(people, ["00002/folder.png/inner.txt"])
    (people / "00003/0.png").unlink()
    (people / "00003/0.png").touch()
    plan = plan_from_grammar(people, GRAMMAR, seed=1, per_reference=2, repeats=2)
    found = [(problem.identity, problem.file_id, problem.reason) for problem in plan.problems]
    assert found == [
        ("00002", "empty.png", "empty_file"),
        ("00002", "folder.png", "is_a_directory"),
        ("00002", "gone.png", "broken_symlink"),
        ("00003", "0.png", "empty_file"),
    ]
    assert {problem.jobs_lost for problem in plan.problems} == {4}
    spread = plan_from_grammar(people, GRAMMAR, seed=1, per_identity=6, repeats=2)
    assert [problem.jobs_lost for problem in spread.problems] == [0, 0, 0, 12]
    assert Counter(job.identity for job in spread.jobs)["00002"] == 12
    assert len(spread.jobs) == 11 * 12


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_text(people: Path) -> None:
    os.makedirs(os.fsencode(people) + b"/k\xff")
    for name in (b"/k\xff/0.png", b"/00000/\xfe.png"):
        with open(os.fsencode(people) + name, "wb") as file:
            file.write(PHOTO)
    for counts in ({"per_reference": 3}, {"per_identity": 3}):
        plan = plan_from_grammar(people, GRAMMAR, seed=1, **counts)
        assert [(problem.identity, problem.file_id) for problem in plan.problems] == [
            ("00000", "\\xfe.png"),
            ("k\\xff", "0.png"),
        ]
        assert {problem.reason for problem in plan.problems} == {"name_not_unicode"}
        assert all(job.sample_id.encode() for job in plan.jobs)


def test_folders_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        plan_from_grammar(tmp_path / "nowhere", GRAMMAR, seed=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no images"):
        plan_from_grammar(tmp_path / "empty", GRAMMAR, seed=0)
    folder(tmp_path / "download", ["CelebHQRefForRelease/00001/0.png"])
    with pytest.raises(UsageError, match=r"Is .*CelebHQRefForRelease the one"):
        plan_from_grammar(tmp_path / "download", GRAMMAR, seed=0)


def test_a_plan_of_the_csv(prompts: Path, tmp_path: Path) -> None:
    refs = folder(tmp_path / "refs", ["00289/11.png", "00289/3.png", "00070/0.png"])
    plan = plan_from_csv(prompts, refs)
    assert_sound(plan)
    found = sorted((job.identity, job.file_id, job.prompt, job.repeat) for job in plan.jobs)
    assert found == [
        ("00070", "0.png", "a mid-up view", 0),
        ("00289", "11.png", "Full-body, by the gate.", 0),
        ("00289", "11.png", "a full-body view", 0),
        ("00289", "11.png", "a full-body view", 1),
        ("00289", "3.png", "a mid-up view", 0),
    ]
    assert {job.split for job in plan.jobs} == {"validation"}
    assert {(job.prompt, job.shot) for job in plan.jobs} == {
        ("a mid-up view", "mid-up"),
        ("a full-body view", "full-body"),
        ("Full-body, by the gate.", None),
    }
    twice = [job.sample_id for job in plan.jobs if job.prompt == "a full-body view"]
    assert sorted(name[-2:] for name in twice) == ["r0", "r1"]
    assert len({name[:-3] for name in twice}) == 1
    assert len(plan_from_csv(prompts, refs, mode="rows3").jobs) == 15
    lines = CSV.splitlines()
    prompts.write_text("\n".join([lines[0], *reversed(lines[1:])]))
    assert plan_from_csv(prompts, refs) == plan
    train = IdentitySplit(frozenset(("00289", "00070")), frozenset())
    assert {job.split for job in plan_from_csv(prompts, refs, split=train).jobs} == {"train"}


def test_references_that_the_csv_asks_for_in_vain(prompts: Path, tmp_path: Path) -> None:
    refs = folder(tmp_path / "refs", ["00289/3.png", "00007/0.png"])
    prompts.write_text(CSV.replace("00070", "7") + "x,9,1.png\n")
    plan = plan_from_csv(prompts, refs)
    assert [job.file_id for job in plan.jobs] == ["3.png"]
    lost = [(at.identity, at.file_id, at.reason, at.jobs_lost, at.line) for at in plan.problems]
    assert lost == [
        ("00289", "11.png", "file_missing", 3, 2),
        ("7", "0.png", "file_missing", 1, 6),
        ("9", "1.png", "file_missing", 1, 7),
    ]
    assert "'00007': a spreadsheet drops zeros" in plan.problems[1].detail
    assert plan.problems[2].detail == "there is no folder '9'"
    (tmp_path / "around").mkdir()
    refs.rename(tmp_path / "around/inner")
    with pytest.raises(UsageError, match=r"Is .*inner the one"):
        plan_from_csv(prompts, tmp_path / "around")
    with pytest.raises(UsageError, match="there is no folder of references"):
        plan_from_csv(prompts, tmp_path / "nowhere")


@pytest.mark.skipif(not REAL.is_file(), reason="the authors' CSV is not on this machine")
def test_the_authors_own_file(tmp_path: Path) -> None:
    rows = read_authors_csv(REAL)
    refs = folder(tmp_path, sorted({f"{row.identity}/{row.file_id}" for row in rows}))
    plan = plan_from_csv(REAL, refs)
    assert_sound(plan)
    assert (len(plan.jobs), plan.problems) == (1329, ())
    assert len({job.sample_id.rpartition("-r")[0] for job in plan.jobs}) == 479
    assert len({job.identity for job in plan.jobs}) == 100
    assert Counter(job.shot for job in plan.jobs) == {"full-body": 680, "mid-up": 649}
    assert len(plan_from_csv(REAL, refs, mode="rows3").jobs) == 3987


def test_seeds() -> None:
    """They are part of every image that was made: they must never change."""
    job = job_id("00289", "11.png", "a prompt", 0)
    assert job == FROZEN_ID
    assert seed_of(7, job, 0) == FROZEN_SEED
    seeds = {seed_of(root, f"job {n}", n) for root in range(10) for n in range(100)}
    assert len(seeds) == 1000


FROZEN_ID, FROZEN_SEED = "d8748996fa4479546e19849e6d2b0c19", 8477604466632427454


@given(st.integers(), st.text(), st.integers(0, 99))
def test_seeds_fit_torch_and_parquet(root: int, job: str, attempt: int) -> None:
    seed = seed_of(root, job, attempt)
    assert 0 <= seed < 2**63
    assert seed != seed_of(root, job, attempt + 1)
    assert seed != seed_of(root + 1, job, attempt)


@given(st.lists(st.text(max_size=4), min_size=3, max_size=3), st.integers(0, 20))
def test_ids_do_not_run_into_each_other(parts: list[str], repeat: int) -> None:
    identity, file_id, prompt = parts
    assert len(job_id(identity, file_id, prompt, repeat)) == 32
    others = {
        job_id(identity, file_id, prompt, repeat + 1),
        job_id(f"{identity}|", file_id, prompt, repeat),
        job_id(identity, f"|{file_id}", prompt, repeat),
    }
    assert job_id(identity, file_id, prompt, repeat) not in others


def test_sample_ids_that_agree_by_chance(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inscene.synthetic.jobs._sample_id", lambda *_: "the same")
    with pytest.raises(UsageError, match="Plan with another seed"):
        plan_from_grammar(people, GRAMMAR, seed=1)


def test_a_job_says_what_it_is() -> None:
    """The fields that the other parts rely on."""
    assert list(Job.__dataclass_fields__)[:10] == [
        *("id", "sample_id", "identity", "file_id", "reference", "prompt", "slots", "shot"),
        *("repeat", "split"),
    ]
