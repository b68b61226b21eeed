"""Splits: nobody and nothing twice, whatever ties them together; rows come over as they are."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from synthetic_photos import synthetic_photo
from typer.testing import CliRunner

from inscene.cli.app import app
from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.errors import InsceneError, UsageError, VerificationError
from inscene.gallery.components import Sample, components, ties
from inscene.gallery.splits import (
    Fractions,
    Listing,
    by_hash,
    by_listing,
    check_apart,
    read_listing,
    split_of_sample,
)
from inscene.recipe import load_recipe

HALVES = Fractions.of({"train": 0.5, "val": 0.25, "test": 0.25})

SAMPLES = st.lists(
    st.builds(
        lambda identity, sha, bits: (identity, sha, bits),
        st.sampled_from([None, "anna", "bert", "carl", "dora", "emil"]),
        st.sampled_from([None, "1", "2", "3", "4", "5", "6", "7", "8"]),
        st.none() | st.integers(0, 2**12 - 1),
    ),
    max_size=25,
).map(
    lambda rows: [
        Sample(f"{n:02d}", identity, sha, None, None if bits is None else f"{bits * 0x1041:016x}")
        for n, (identity, sha, bits) in enumerate(rows)
    ]
)


@settings(max_examples=60, deadline=None)
@given(SAMPLES, st.integers(0, 6), st.integers(0, 5))
def test_nothing_that_belongs_together_is_apart(
    samples: list[Sample], distance: int, seed: int
) -> None:
    tied = ties(samples, distance)
    found = components(samples, tied)
    where = split_of_sample(samples, found, by_hash(found, HALVES, seed))
    assert sorted(where) == [sample.id for sample in samples]
    check_apart(samples, tied, where)
    for one, other in itertools.combinations(samples, 2):
        alike = any(
            getattr(one, name) is not None and getattr(one, name) == getattr(other, name)
            for name in ("identity", "sha256")
        )
        if one.phash is not None and other.phash is not None:
            alike |= (int(one.phash, 16) ^ int(other.phash, 16)).bit_count() <= distance
        assert not alike or where[one.id] == where[other.id]


def test_a_person_stays_where_they_are_when_others_come() -> None:
    few = [Sample(f"{n}/1", f"person {n}") for n in range(40)]
    many = sorted(
        few + [Sample(f"{n}/2", f"person {n}") for n in range(20, 80)], key=lambda s: s.id
    )
    where = []
    for samples in (few, many):
        found = components(samples, ties(samples, 6))
        where.append(split_of_sample(samples, found, by_hash(found, HALVES, 0)))
    assert where[0].items() <= where[1].items()
    assert set(where[0].values()) == {"train", "val", "test"}


def test_shares_are_met_over_many() -> None:
    found = components([Sample(f"{n:04d}") for n in range(4000)], [])
    splits = by_hash(found, HALVES, 1)
    assert splits.count("train") / 4000 == pytest.approx(0.5, abs=0.03)
    assert splits.count("val") / 4000 == pytest.approx(0.25, abs=0.03)
    assert by_hash(found, HALVES, 2) != splits


def test_a_crossing_is_caught() -> None:
    samples = [Sample("a", "anna"), Sample("b", "anna")]
    with pytest.raises(VerificationError, match="one person"):
        check_apart(samples, ties(samples, None), {"a": "train", "b": "test"})


@pytest.mark.parametrize("shares", [{"train": 0.5, "val": 0.2}, {"train": 1.2, "val": -0.2}])
def test_shares_divide_a_whole(shares: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="no division of a whole"):
        Fractions.of(shares)


# -- listings


def by(samples: list[Sample], said: dict[str, str], others: str | None = None) -> list[str]:
    tied = ties(samples, 6)
    return by_listing(samples, components(samples, tied), tied, Listing("l.csv", said), others)


def test_a_listing_that_contradicts_names_the_photos() -> None:
    samples = [
        Sample("anna/1", "anna"),
        Sample("anna/2", "anna", phash=f"{0:016x}"),
        Sample("bert/1", "bert", phash=f"{3:016x}"),
        Sample("carl/1", "carl"),
    ]
    said = {"anna": "train", "bert": "test", "carl": "train"}
    with pytest.raises(
        UsageError, match="puts 'bert' into 'test' and 'anna' into 'train'"
    ) as error:
        by(samples, said)
    assert error.value.why == "anna/2 and bert/1: 2 of 64 bits differ."
    assert by(samples, {**said, "bert": "train"}) == ["train", "train"]


def test_who_is_not_named() -> None:
    samples = [Sample("1", "0012"), Sample("2", "0013"), Sample("3")]
    with pytest.raises(UsageError, match="does not name the identity '0013'"):
        by(samples, {"0012": "train"})
    with pytest.raises(UsageError, match="without an identity, such as '3'"):
        by(samples, {"0012": "train", "0013": "val"})
    assert by(samples, {"0012": "val"}, "train") == ["val", "train", "train"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "split,identity\nval, 0012\ntrain,anna\n"),
        ("l.yaml", "0012: val\nanna: train\n"),
        ("l.yml", "val: [0012]\ntrain: [anna]\n"),
    ],
)
def test_listings_are_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_listing(tmp_path / name).split_of == {"0012": "val", "anna": "train"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.csv", "name,split\na,val\n", "no columns identity and split"),
        ("l.csv", "identity,split\na,val\na,test\n", "l.csv:3: 'a' is in 'val' and in 'test'"),
        ("l.csv", "identity,split\na,\n", "l.csv:2: a line has no"),
        ("l.csv", "identity,split\na,../x\n", "cannot name a split"),
        ("l.csv", "identity,split\n", "names nobody"),
        ("l.yaml", "- a\n", "holds no mapping"),
        ("l.yaml", "a: {b: c}\n", "neither a word"),
        ("l.yaml", "a: [\n", "not valid YAML"),
        ("none.csv", None, "cannot be read"),
    ],
)
def test_listings_that_make_no_sense(
    tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as error:
        read_listing(tmp_path / name)
    assert said in str(error.value)


# -- the command


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people of two photos, made without a phash; one is there twice, under two people."""
    root = tmp_path_factory.mktemp("splits")
    photos, lines = root / "photos", []
    for number in range(12):
        person = photos / f"p{number // 2}"
        person.mkdir(parents=True, exist_ok=True)
        synthetic_photo(number, 64, 48).save(person / f"{number}.png")
        lines.append({"file_name": f"{person.name}/{number}.png", "identity": person.name})
    again = Image.open(photos / "p0/0.png")
    again.resize((96, 72)).save(photos / "p1/again.png")
    lines.append({"file_name": "p1/again.png", "identity": "p1"})
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(photos / "nobody.png")
    lines.append({"file_name": "nobody.png"})
    (photos / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recipe = root / "scenes.yaml"
    recipe.write_text(
        yaml.safe_dump({"name": "s", "makes": "scenes", "shard_rows": 4, "steps": ["decode"]})
    )
    built = build(*load_recipe(str(recipe)))
    engine.run(engine.plan(built, [str(photos)], str(root / "scenes")))
    return root / "scenes"


def rows(dataset: Path) -> dict[tuple[str, int], dict]:
    found = [
        row for path in sorted(dataset.glob("data/*")) for row in pq.read_table(path).to_pylist()
    ]
    return {(row["sample_id"], row.get("version") or 0): row for row in found}


def split(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["split", *map(str, arguments)])
    if result.exception and isinstance(result.exception, InsceneError):
        assert code == result.exception.exit_code, result.exception
        return str(result.exception)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def test_scenes_are_copied_as_they_are(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = split(scenes, "--out", out, "--val", "0.3", "--test", "0.3", "--seed", "1")
    before, after = rows(scenes), rows(out)
    assert before.keys() == after.keys()
    for key, row in after.items():
        assert {**row, "split": "train"} == before[key]
    where = {row["identity"]: row["split"] for row in after.values()}
    assert all(where[row["identity"]] == row["split"] for row in after.values())
    assert where["p0"] == where["p1"]  # the same photo, enlarged
    assert len(set(where.values())) == 3
    assert verify(str(out)).problems == []
    names = {path.name.partition("-")[0] for path in out.glob("data/*")}
    assert names == set(where.values())
    assert "14 samples in 6 groups" in said

    facts = json.loads((out / "run/recipe.json").read_text())["steps"][0]
    assert facts["source_run"]["name"] == "s"
    before_bytes = {path: path.read_bytes() for path in out.rglob("*.parquet")}
    split(scenes, "--out", out, "--val", "0.3", "--test", "0.3", "--seed", "1")
    assert {path: path.read_bytes() for path in out.rglob("*.parquet")} == before_bytes


def test_without_near_duplicates_they_may_part(scenes: Path, tmp_path: Path) -> None:
    near = json.loads(split(scenes, "--out", tmp_path / "a", "--json", "--plan"))
    only_exact = ("--set", "assign_split.max_distance=null")
    exact = json.loads(split(scenes, "--out", tmp_path / "a", "--json", "--plan", *only_exact))
    groups = [sum(one["components"] for one in said["splits"].values()) for said in (near, exact)]
    assert groups == [6, 7]
    assert not (tmp_path / "a").exists()


def test_pairs_keep_their_versions_together(scenes: Path, tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs", tmp_path / "out"
    result = CliRunner().invoke(
        app, ["degrade", str(scenes), "--out", str(pairs), "--versions", "2", "--preset", "d2"]
    )
    assert result.exit_code == 0, result.output
    listing = tmp_path / "l.csv"
    people = "".join(f"p{n},{'test' if n > 3 else 'train'}\n" for n in range(6))
    listing.write_text(f"identity,split\n{people}somebody,train\n")
    said = split(pairs, "--out", out, "--list", listing, code=2)
    assert "without an identity, such as 'nobody.png'" in said
    split(pairs, "--out", out, "--list", listing, "--others", "train")
    before, after = rows(pairs), rows(out)
    assert len(after) == 28
    for key, row in after.items():
        assert {**row, "split": "train"} == before[key]
    assert {row["identity"] for row in after.values() if row["split"] == "test"} == {"p4", "p5"}
    assert verify(str(out)).problems == []


def test_a_contradicting_list_ends_it(scenes: Path, tmp_path: Path) -> None:
    listing = tmp_path / "l.yaml"
    listing.write_text("train: [p0, p2, p3]\ntest: [p1, p4, p5]\n")
    said = split(scenes, "--out", tmp_path / "out", "--list", listing, "--others", "train", code=2)
    assert "puts 'p1' into 'test' and 'p0' into 'train'" in said
    assert "p0/0.png and p1/again.png" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--others", "train"), "--others is for whoever --list does not name"),
        (("--list", "l.csv", "--test", "0.2"), "--list and --test exclude each other"),
    ],
)
def test_options_that_would_do_nothing(
    scenes: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    assert said in split(scenes, "--out", tmp_path / "out", *options, code=2)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_split(scenes: Path, tmp_path: Path) -> None:
    assert "Datasets of scenes and of pairs" in split(
        scenes.parent / "photos", "--out", tmp_path / "out", code=2
    )
    assert "both source and --out" in split(scenes, "--out", scenes, code=2)
