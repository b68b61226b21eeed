"""Tables that other tools wrote: which of their columns is which of ours, and what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_photos import synthetic_photo
from typer.testing import CliRunner

from inscene.cli.app import app
from inscene.dataset.face_values import BoxEvidence, corners_of, numbers_of, points_of
from inscene.dataset.foreign import Columns
from inscene.dataset.inspect import open_table, survey
from inscene.dataset.schema_map import MAP_VARIABLE
from inscene.dataset.sources import Input, list_inputs, read_inputs
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.errors import RecipeError, SampleError, UsageError
from inscene.recipe import load_recipe

CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
WIDTH, HEIGHT = 64, 48
CORNERS = [20.0, 10.0, 40.0, 34.0]
SIZED = [20.0, 10.0, 20.0, 24.0]
POINTS = [(22 + 16 * (n % 9) / 8, 12 + 20 * (n // 9) / 7) for n in range(68)]
FLAT = numbers_of(POINTS)


def png(number: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    file = io.BytesIO()
    synthetic_photo(number, *size).save(file, "png")
    return file.getvalue()


GT, LQ = png(), png(1, (WIDTH // 2, HEIGHT // 2))


def write(path: Path, columns: dict[str, Any], rows: int = 3) -> Path:
    """Every value in every row; bytes as the image cells of ``datasets``."""
    arrays = {
        name: pa.array([{"bytes": value, "path": f"{n}.png"} for n in range(rows)], CELL)
        if isinstance(value, bytes)
        else value
        if isinstance(value, pa.Array)
        else pa.array([value] * rows)
        for name, value in columns.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(arrays), path)
    return path


def rows_of(source: Path) -> list[dict[str, Any]]:
    rows = []
    for _, row in read_inputs(list_inputs([str(source)])):
        assert not isinstance(row, SampleError), row
        rows.append(row)
    return rows


def reading_of(source: Path) -> Columns:
    reading = list_inputs([str(source)])[0].reading
    assert reading is not None
    return reading


# What the release of InScene may be like: its columns are not known here.
RELEASES: dict[str, dict[str, Any]] = {
    "flat": {"image": GT, "prompt": "a walk", "identity_id": 7, "bbox": CORNERS,
             "landmarks_68": FLAT},
    "nested": {"gt": GT, "caption": "a walk", "identity": "7", "face_bbox": CORNERS,
               "landmarks": [list(point) for point in POINTS]},
    "json": {"hq": GT, "text": "a walk", "identity_id": "7", "face_box": json.dumps(CORNERS),
             "lmk68": json.dumps(POINTS)},
    "dictionary": {"image": GT, "prompt": "a walk", "identity_id": "7",
                   "bbox": {"x": 20, "y": 10, "w": 20, "h": 24},
                   "kps": {"x": [x for x, _ in POINTS], "y": [y for _, y in POINTS]}},
    "sizes": {"image": GT, "prompt": "a walk", "identity": 7, "bbox": SIZED, "kps": FLAT},
    "in a structure": {"image": GT, "metadata": {"prompt": "a walk", "identity": "7",
                                                 "bbox": CORNERS, "landmarks": FLAT}},
    "under any name": {"jpg": GT, "txt": 1, "prompt": "a walk", "identity": "7",
                       "bbox": CORNERS, "landmarks": [{"x": x, "y": y} for x, y in POINTS]},
}  # fmt: skip


@pytest.mark.parametrize("columns", RELEASES.values(), ids=RELEASES)
def test_scenes_under_every_name_and_form(columns: dict[str, Any], tmp_path: Path) -> None:
    source = write(tmp_path / "train-00000-of-00001.parquet", columns)
    (row, *_) = rows_of(source)
    assert row["image"]["bytes"] == GT
    assert (row["prompt"], row["identity"]) == ("a walk", "7")
    assert row["face_bbox"] == CORNERS
    assert row["landmarks68"] == pytest.approx(FLAT)
    assert {entry.split for entry in list_inputs([str(source)])} == {"train"}


@pytest.mark.parametrize("lq", ["lq", "lq_image", "degraded"])
@pytest.mark.parametrize("clean", ["image", "gt", "hq", "jpg"])
def test_pairs_under_every_name(lq: str, clean: str, tmp_path: Path) -> None:
    source = write(tmp_path / "validation.parquet", {lq: LQ, clean: GT})
    inputs = list_inputs([str(source)], needs=("lq", "hq"))
    ((_, row), *_) = read_inputs(inputs, ("lq", "hq"))
    assert isinstance(row, dict)
    assert (row["lq"]["bytes"], row["hq"]["bytes"], row["image"]["bytes"]) == (LQ, GT, GT)
    assert {entry.split for entry in inputs} == {"val"}


def test_cells_of_plain_bytes(tmp_path: Path) -> None:
    cells = pa.array([GT, GT], pa.large_binary())
    (row, _) = rows_of(write(tmp_path / "a.parquet", {"picture": cells}))
    assert row["image"] == {"bytes": GT, "path": "a.parquet#0.0"}


def test_identities_keep_their_leading_zeros(tmp_path: Path) -> None:
    (row, *_) = rows_of(write(tmp_path / "a.parquet", {"image": GT, "identity_id": "00007"}))
    assert row["identity"] == "00007"


def test_five_points_go_into_their_own_column_beside_68(tmp_path: Path) -> None:
    columns = {"image": GT, "kps": FLAT[:10], "landmarks_68": FLAT}
    (row, *_) = rows_of(write(tmp_path / "a.parquet", columns))
    assert (len(row["landmarks5"]), len(row["landmarks68"])) == (10, 136)


def test_two_columns_of_68_points_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "a.parquet", {"image": GT, "landmarks": FLAT, "lmk68": FLAT})
    with pytest.raises(UsageError, match="'landmarks68': landmarks, lmk68"):
        list_inputs([str(source)])


AMBIGUOUS: dict[str, tuple[dict[str, Any], str, str]] = {
    "images": ({"before": GT, "after": GT}, "before, after", "columns: {image: before}"),
    "clean": ({"gt": GT, "hq": GT}, "gt, hq", "columns: {image: gt}"),
    "lq": ({"gt": GT, "lq": LQ, "degraded": LQ}, "lq, degraded", "columns: {lq: lq}"),
    "prompts": ({"image": GT, "caption": "a", "text": "b"}, "caption, text",
                "columns: {prompt: caption}"),
    "fields": ({"image": GT, "a": {"text": "a"}, "b": {"text": "b"}}, "a.text, b.text",
               "columns: {prompt: a.text}"),
    "boxes": ({"image": GT, "bbox": CORNERS, "face_box": SIZED, "kps": FLAT}, "bbox, face_box",
              "columns: {face_bbox: bbox}"),
    "a box": ({"image": GT, "bbox": [1.0, 2.0, 30.0, 40.0]}, "'bbox' may be two corners",
              "box: xyxy"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "words", "remedy"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_could_be_meant_twice_is_refused_and_can_be_said(
    columns: dict[str, Any], words: str, remedy: str, tmp_path: Path
) -> None:
    source = write(tmp_path / "a.parquet", columns)
    with pytest.raises(UsageError, match=words) as caught:
        list_inputs([str(source)])
    assert remedy in str(caught.value.next_step)
    (tmp_path / "schema_map.yaml").write_text(remedy.partition("   ")[0])
    assert len(rows_of(source)) == 3  # the remedy is one


def test_the_map_may_lie_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "a.parquet", {"before": GT, "after": LQ, "box": SIZED})
    said = tmp_path / "elsewhere.yaml"
    said.write_text("columns: {image: before, lq: after, face_bbox: box}\nbox: xywh\n")
    monkeypatch.setenv(MAP_VARIABLE, str(said))
    (row, *_) = rows_of(source)
    assert (row["image"]["bytes"], row["lq"]["bytes"]) == (GT, LQ)
    assert row["face_bbox"] == CORNERS
    monkeypatch.setenv(MAP_VARIABLE, str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError, match="cannot be read"):
        list_inputs([str(source)])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("columns: {image: photo}", "no column 'photo'"),
        ("ignore: [nothing]", "no column 'nothing'"),
        ("columns: {picture: image}", "'picture' is none of ours"),
        ("columns: {image: caption}", "'caption', which schema_map.yaml calls image"),
        ("colums: {}", "colums: Extra inputs"),
        ("box: corners", "box: Input should be"),
        ("a: [", "is no YAML"),
    ],
)
def test_maps_that_are_wrong(text: str, words: str, tmp_path: Path) -> None:
    source = write(tmp_path / "a.parquet", {"image": GT, "caption": "a"})
    (tmp_path / "schema_map.yaml").write_text(text)
    with pytest.raises((UsageError, RecipeError), match=words):
        list_inputs([str(source)])


def test_columns_can_be_left_out(tmp_path: Path) -> None:
    columns = {"image": GT, "mask": GT, "seed": "many", "split": 3, "sample_id": 9}
    source = write(tmp_path / "a.parquet", columns)
    with pytest.raises(UsageError, match="ignore: "):
        list_inputs([str(source)])
    (tmp_path / "schema_map.yaml").write_text("ignore: [seed, split, sample_id]")
    (row, *_) = rows_of(source)
    assert row["sample_id"] == "a.parquet#0.0"
    assert "seed" not in row
    assert dict(reading_of(source).unread)["mask"] == "no column of ours"


def test_what_is_not_read_is_told_and_our_own_names_stay(tmp_path: Path) -> None:
    columns = {
        "id": pa.array(["x1", "x2", "x3"]),
        "identity_id": "7",
        "image": GT,
        "licence": "CC0",
        "score": 0.5,
        "bbox": [0.1, 0.1, 0.5, 0.5],
        "kps": [[1.0, 2.0]] * 3,
    }
    source = write(tmp_path / "a.parquet", columns)
    (row, *_) = rows_of(source)
    assert (row["licence"], row["identity"]) == ("CC0", "7")
    assert row.get("face_bbox") is None
    assert dict(reading_of(source).unread) == {
        "bbox": "lies between 0 and 1: it is not in px",
        "id": "differs in every row: it names rows, not people",
        "kps": "has 3 points, not 5 or 68",
        "score": "no column of ours",
    }


def test_a_value_that_cannot_be_understood_costs_its_row(tmp_path: Path) -> None:
    landmarks = pa.array([FLAT, FLAT[:-2], None, []], pa.list_(pa.float64()))
    source = write(tmp_path / "a.parquet", {"image": GT, "landmarks": landmarks}, rows=4)
    found = [row for _, row in read_inputs(list_inputs([str(source)]))]
    assert [isinstance(row, SampleError) for row in found] == [False, True, False, False]
    assert isinstance(found[1], SampleError)
    assert found[1].reason == "column_unusable"
    assert "landmarks" in found[1].detail


def test_another_reading_is_another_input(tmp_path: Path) -> None:
    """A run does not go on with what it began under another map."""
    source = write(tmp_path / "a.parquet", {"image": GT, "bbox": CORNERS, "landmarks": FLAT})
    states = {list_inputs([str(source)])[0].state}
    for text in ("box: xywh", "ignore: [bbox]"):
        (tmp_path / "schema_map.yaml").write_text(text)
        states.add(list_inputs([str(source)])[0].state)
    assert len(states) == 3


# ---- image folders


def image_folder(root: Path, *, lq: bool, lines: list[dict[str, Any]] | None = None) -> Path:
    """One split as ``datasets`` writes an imagefolder."""
    for folder in ("images", "lq"):
        (root / folder).mkdir(parents=True)
    if lines is None:
        lines = [
            {"file_name": f"images/{n}.png", "prompt": f"p{n}", "identity": "00007",
             "face_bbox": CORNERS, "landmarks_68": [list(point) for point in POINTS],
             **({"lq_file_name": f"lq/{n}.png"} if lq else {})}
            for n in range(2)
        ]  # fmt: skip
    for n in range(2):
        (root / f"images/{n}.png").write_bytes(GT)
        (root / f"lq/{n}.png").write_bytes(LQ)
    (root / "metadata.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return root


def test_an_image_folder_with_two_splits(tmp_path: Path) -> None:
    image_folder(tmp_path / "set/train", lq=False)
    image_folder(tmp_path / "set/validation", lq=True)
    inputs = list_inputs([str(tmp_path / "set")])
    assert [(entry.id, entry.split) for entry in inputs] == [
        ("train/images/0.png", "train"),
        ("train/images/1.png", "train"),
        ("validation/images/0.png", "val"),
        ("validation/images/1.png", "val"),
    ]
    rows = rows_of(tmp_path / "set")
    assert [row["prompt"] for row in rows] == ["p0", "p1", "p0", "p1"]
    assert rows[0]["landmarks68"] == pytest.approx(FLAT)
    assert rows[0]["face_bbox"] == CORNERS
    assert [row.get("lq", {}).get("bytes") for row in rows] == [None, None, LQ, LQ]
    with pytest.raises(UsageError, match="has no 'hq' beside some") as caught:
        list_inputs([str(tmp_path / "set")], needs=("hq", "lq"))
    place = str(caught.value.next_step).removeprefix("Name what has it: ")
    pairs = list_inputs([place], needs=("hq", "lq"))
    assert [entry.split for entry in pairs] == ["val", "val"]
    ((_, row), _) = read_inputs(pairs, ("hq", "lq"))
    assert isinstance(row, dict)
    assert (row["hq"]["bytes"], row["lq"]["bytes"]) == (GT, LQ)


def test_a_changed_lq_image_is_a_changed_input(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "set", lq=True)
    before = list_inputs([str(folder)])[0].state
    (folder / "lq/0.png").write_bytes(LQ + b"more")
    assert list_inputs([str(folder)])[0].state != before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"file_name": "../../secret.png"}, "leads out of the dataset"),
        ({"file_name": "/secret.png"}, "leads out of the dataset"),
        ({"file_name": "..\\..\\secret.png"}, "leads out of the dataset"),
        ({"file_name": "file:///secret.png"}, "leads out of the dataset"),
        ({"file_name": "https://example.org/a.png"}, "leads out of the dataset"),
        ({"file_name": "images/link.png"}, "leads out of the dataset"),
        ({"file_name": "images/0.png", "lq_file_name": "../../secret.png"}, "leads out"),
        ({"file_name": "images/0.png", "seed": "abc"}, "seed is 'abc', where"),
        ({"file_name": "images/0.png", "landmarks68": [[1, 2]] * 67 + [["x", 1]]}, "cannot be"),
        ({"name": "images/0.png"}, "line 1 has no file_name"),
    ],
)
def test_metadata_that_is_refused(line: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(GT)
    folder = image_folder(tmp_path / "a/set", lq=True, lines=[line])
    (folder / "images/link.png").symlink_to(tmp_path / "secret.png")
    if words == "cannot be":  # as a whole column it is only left unread
        reading = dict(open_table(str(folder)).readings[0].unread)
        assert words in reading["landmarks68"]
        return
    with pytest.raises(UsageError, match=words):
        list_inputs([str(folder)])


def test_columns_of_metadata_open_nothing_and_stand_for_no_image(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png(9))
    secret = str(tmp_path / "secret.png")
    line = {"file_name": "images/0.png", "image": secret, "hq": {"bytes": secret},
            "sha256": "0" * 64, "sample_id": secret}  # fmt: skip
    (row,) = rows_of(image_folder(tmp_path / "set", lq=False, lines=[line]))
    assert row["image"]["bytes"] == GT
    assert row["sample_id"] == "images/0.png"
    assert row["sha256"] != "0" * 64
    assert "hq" not in row


# ---- a snapshot of the Hub, as its client leaves it in its cache


def snapshot(tmp_path: Path) -> Path:
    """Links into ``blobs``, as in ``~/.cache/huggingface/hub``."""
    blobs = tmp_path / "datasets--org--set/blobs"
    root = tmp_path / "datasets--org--set/snapshots/0123"
    (root / "data").mkdir(parents=True)
    blobs.mkdir()
    for number, name in enumerate(("data/train-0.parquet", "data/validation-0.parquet")):
        columns = {"gt": GT, "caption": "a"} | ({"lq": LQ} if number else {})
        write(tmp_path / "made.parquet", columns).rename(blobs / str(number))
        (root / name).symlink_to(blobs / str(number))
    return root


def test_a_snapshot_of_the_hub(tmp_path: Path) -> None:
    root = snapshot(tmp_path)
    inputs = list_inputs([str(root)])
    assert [(entry.id, entry.split) for entry in inputs][2:4] == [
        ("train-0.parquet#0.2", "train"),
        ("validation-0.parquet#0.0", "val"),
    ]
    with pytest.raises(UsageError, match="has no column 'hq'") as caught:
        list_inputs([str(root)], needs=("hq", "lq"))
    place = str(caught.value.next_step).removeprefix("Name what has it: ")
    assert len(list_inputs([place], needs=("hq", "lq"))) == 3


def test_a_snapshot_of_an_image_folder(tmp_path: Path) -> None:
    blobs = tmp_path / "datasets--org--set/blobs"
    root = image_folder(tmp_path / "datasets--org--set/snapshots/0123/validation", lq=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(root.rglob("*.png"))):
        file.rename(blobs / str(number))
        file.symlink_to(blobs / str(number))
    for source in (root, root.parent):
        assert [row["lq"]["bytes"] for row in rows_of(source)] == [LQ, LQ]


def test_several_datasets_are_not_read_as_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name / "data/train-0.parquet", {"image": GT})
        (tmp_path / name / "run").mkdir()
        (tmp_path / name / "run/recipe.json").write_text("{}")
    with pytest.raises(UsageError, match="holds no images"):
        list_inputs([str(tmp_path)])


def test_configurations_in_folders(tmp_path: Path) -> None:
    for config in ("faces", "scenes"):
        write(tmp_path / "set" / config / "train/0000.parquet", {"image": GT}, rows=1)
    assert [(entry.id, entry.split) for entry in list_inputs([str(tmp_path / "set")])] == [
        ("faces/train/0000.parquet#0.0", "train"),
        ("scenes/train/0000.parquet#0.0", "train"),
    ]


# ---- what the data may not do


def test_no_cell_opens_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path or URL wherever a cell can have one; none is opened, and none comes out."""
    canary = tmp_path / "canary.png"
    canary.write_bytes(png(5))
    folder = tmp_path / "set"
    columns: dict[str, Any] = {
        "caption": str(canary),
        "identity": f"file://{canary}",
        "landmarks": json.dumps({"points": str(canary)}),
        "file_name": str(canary),
        "source": str(canary),
    }
    cells = [
        {"bytes": GT, "path": str(canary)},
        {"bytes": None, "path": str(canary)},
        {"bytes": b"", "path": f"file://{canary}"},
        {"bytes": None, "path": "http://127.0.0.1:9/canary.png"},
        {"bytes": str(canary).encode(), "path": None},
    ]
    write(folder / "a.parquet", {**columns, "image": pa.array(cells, CELL)}, rows=5)
    opened: list[str] = []
    monkeypatch.setattr("socket.socket.connect", lambda *_: opened.append("a socket"))

    import sys

    watching = [True]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching[0] and event == "open" and "canary" in str(arguments[0]):
            opened.append(str(arguments[0]))

    sys.addaudithook(hook)
    try:
        found = [row for _, row in read_inputs(list_inputs([str(folder)]), ())]
        built = build(*load_recipe("photos"))
        summary = engine.run(engine.plan(built, [str(folder)], str(tmp_path / "out")))
    finally:
        watching[0] = False
    assert opened == []
    assert summary.kept == 1
    first, *others = found
    assert isinstance(first, dict)
    assert first["image"] == {"bytes": GT, "path": "canary.png"}
    assert [row.reason for row in others[:3] if isinstance(row, SampleError)] == [
        "image_bytes_missing"
    ] * 3
    data = next((tmp_path / "out/data").glob("*.parquet"))
    (kept,) = pq.read_table(data, columns=["image"]).column("image").to_pylist()
    assert kept["path"] == "canary.png"


def test_a_column_of_paths_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "canary.png").write_bytes(GT)
    source = write(tmp_path / "set/a.parquet", {"image": str(tmp_path / "canary.png")})
    with pytest.raises(UsageError, match="has no image column") as caught:
        list_inputs([str(source)])
    assert "never opened" in str(caught.value.why)


# ---- the values


def test_inside_decides_between_corners_and_sizes() -> None:
    for box, form in ((CORNERS, "xyxy"), (SIZED, "xywh")):
        evidence = BoxEvidence()
        evidence.add(box, FLAT)
        assert evidence.decision() == form
    evidence = BoxEvidence()
    for box in [CORNERS, SIZED]:
        evidence.add(box, FLAT)
    assert evidence.decision() is None  # they contradict each other


@given(st.floats(0, 500), st.floats(0, 500), st.floats(20, 400), st.floats(20, 400), st.booleans())
@settings(max_examples=50, deadline=None)
def test_any_face_in_its_box(x: float, y: float, w: float, h: float, sized: bool) -> None:
    points = [(x + w * u, y + h * v) for u, v in ((0.1, 0.1), (0.9, 0.1), (0.5, 0.5), (0.5, 0.9))]
    evidence = BoxEvidence()
    evidence.add([x, y, w, h] if sized else [x, y, x + w, y + h], points)
    decided = evidence.decision()
    if sized and decided == "xyxy":  # a box that small at that place holds them both ways
        assert w > x
        assert h > y
    elif decided is not None:
        assert decided == ("xywh" if sized else "xyxy")


@pytest.mark.parametrize(
    "value",
    [None, "", "x", "[1,", {}, {"a": 1}, [], [1, 2, 3], [[1]], [[1, "x"]], [float("nan")] * 4],
)
def test_what_holds_no_points(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        points_of(value)


@pytest.mark.parametrize(
    "value",
    ["x", [1, 2, 3], {"x": 1}, [5, 5, 1, 1], [0, 0, float("inf"), 1], [None] * 4, "[" * 9999],
)
def test_what_is_no_box(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        corners_of(value, "xyxy")


def test_boxes_in_every_form() -> None:
    assert corners_of({"xmin": 20, "ymin": 10, "xmax": 40, "ymax": 34}, None) == CORNERS
    assert corners_of({"left": 20, "top": 10, "width": 20, "height": 24}, "xyxy") == CORNERS
    assert corners_of(json.dumps([CORNERS]), "xyxy") == CORNERS
    assert corners_of([*CORNERS, 0.99], "xyxy") == CORNERS
    assert corners_of(SIZED, "xywh") == CORNERS


# ---- what inspect says of them


def test_a_table_of_others_is_surveyed_in_our_columns(tmp_path: Path) -> None:
    source = write(tmp_path / "validation.parquet", {"gt": GT, "degraded": LQ, "identity_id": 7})
    table = open_table(str(source))
    found = survey(table)
    assert (found.kind, found.rows, found.counts["identity"]) == ("pairs", 3, {"7": 3})
    (first, *_) = table.rows(("sample_id", "lq", "hq"))
    ids = [entry.id for entry in list_inputs([str(source)])]
    assert first["sample_id"] == ids[0]
    assert (first["lq"]["bytes"], first["hq"]["bytes"]) == (LQ, GT)
    (last,) = table.rows_at([2], ("sample_id",))
    assert last["sample_id"] == ids[2]


def test_an_image_folder_is_surveyed(tmp_path: Path) -> None:
    table = open_table(str(image_folder(tmp_path / "set", lq=True)))
    assert (table.kind, survey(table).counts["identity"]) == ("pairs", {"00007": 2})
    (row,) = table.rows_at([1], ("lq", "hq", "prompt"))
    assert (row["lq"]["bytes"], row["hq"]["bytes"], row["prompt"]) == (LQ, GT, "p1")


def test_pairs_of_others_are_measured(tmp_path: Path) -> None:
    """The released validation set is one of pairs: a method restores its LQ images."""
    columns = {"degraded": LQ, "gt": GT, "identity_id": "00007"}
    write(tmp_path / "set/data/validation-0.parquet", columns)
    arguments = ["bench", "--dataset", tmp_path / "set", "--out", tmp_path / "out"]
    arguments += ["--method", "bicubic", "--metrics", "psnr", "--executor", "inline"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    (scores,) = (tmp_path / "out/set--bicubic").glob("scores-*")
    found = survey(open_table(str(scores)))
    assert found.counts["status"] == {"ok": 3}
    assert found.counts["split"] == {"val": 3}


def test_an_input_says_what_it_has() -> None:
    plain = Input("a", None, "a.png")
    assert not plain.has("lq")
    paired = Input("a", None, "a.png", beside=(("lq", "b.png"),))
    assert paired.has("lq")
    assert paired.has("hq")
