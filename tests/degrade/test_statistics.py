"""What is said of a dataset of pairs is what is in it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inscene.dataset.distribution import spread
from inscene.dataset.inspect import Table, open_table
from inscene.degrade.arrays import ByteImage
from inscene.degrade.fidelity import psnr_at_lq_size, reduce_by_area
from inscene.degrade.statistics import (
    drawn_parameters,
    operator_statistics,
    psnr_statistics,
)
from inscene.errors import SampleError
from inscene.images import encode_png
from inscene.schema import PAIRS

Write = Callable[[list[dict[str, Any]]], Table]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(rows: list[dict[str, Any]]) -> Table:
        file = tmp_path / "pairs.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=PAIRS.schema), file, row_group_size=3)
        return open_table(str(file))

    return write


def record(operator: dict[str, Any], **more: Any) -> str:
    return json.dumps({"profile": "made-up", "operator": operator, **more})


def test_every_scalar_has_its_name() -> None:
    names = list(
        drawn_parameters(
            {
                "noise_seed": 5,
                "operator": {
                    "sf": 4,
                    "first": {
                        "blur": {"family": "new", "nodes": [{"s": 1.0}, {"s": 2.0}]},
                        "noise": [{"levels": "auto"}, {"levels": 256}],
                        "curve": [1, 2, 3, 4, 5],
                        "nothing": [],
                    },
                    "second": None,
                },
                "effective": {"first": {"size": [30, 40]}},
            }
        )
    )
    assert names == [
        ("sf", 4),
        ("first.blur.family", "new"),
        ("len(first.blur.nodes)", 2),
        ("first.blur.nodes[*].s", 1.0),
        ("first.blur.nodes[*].s", 2.0),
        ("len(first.noise)", 2),
        ("first.noise[*].levels", "auto"),
        ("first.noise[*].levels", 256),
        *(("first.curve[*]", value) for value in range(1, 6)),
        ("len(first.nothing)", 0),
        ("second", None),
        ("effective.first.size[0]", 30),
        ("effective.first.size[1]", 40),
    ]


def test_operators(write: Write) -> None:
    """Two clean images; one operator is shared by both, one by versions of one image only."""
    strong = {
        "first": {"blur": {"family": "iso", "sigma_x": 3.0}},
        "final": {"order": "a"},
        "sf": 4,
    }
    none = {"first": {"blur": None}, "final": {"order": "b"}, "sf": 4}
    versions = [("a", "s", strong), ("a", "s", strong), ("a", "n", none), ("b", "n", none)]
    rows = [
        {"sample_id": sample, "operator_id": name, "operator": record(operator)}
        for sample, name, operator in versions
    ]
    found = operator_statistics(write(rows))
    assert (found.clean_images, found.versions) == (2, (1, 3))
    assert (found.operators, found.shared_operators) == (2, 1)
    assert found.profiles == {"made-up": 4}
    assert (found.without_record, found.unreadable_records) == (0, 0)
    assert list(found.parameters) == [
        "sf",
        "first.blur",
        "first.blur.family",
        "first.blur.sigma_x",
        "final.order",
    ]
    assert found.parameters["first.blur"].words == {"given": 2, "null": 2}
    assert found.parameters["first.blur.family"].words == {"iso": 2}
    assert found.parameters["first.blur.sigma_x"].constant == 3.0
    assert found.to_json()["parameters"]["final.order"] == {"counts": {"a": 2, "b": 2}}
    assert found.to_json()["versions"] == {"min": 1, "max": 3}


def test_records_that_are_none(write: Write) -> None:
    texts = [record({"sf": 4}), None, "{", "[1]", '{"operator": 3}']
    rows = [{"sample_id": str(index), "operator": text} for index, text in enumerate(texts)]
    found = operator_statistics(write(rows))
    assert (found.without_record, found.unreadable_records) == (1, 3)
    assert found.parameters["sf"].count == 1


def test_a_table_without_rows(write: Write) -> None:
    table = write([])
    assert operator_statistics(table).versions == (0, 0)
    assert psnr_statistics(table, 0, 500).psnr_db.numbers is None


@pytest.mark.parametrize("size", [(97, 64, 24, 16), (96, 64, 24, 16), (7, 9, 7, 4), (5, 1, 1, 1)])
def test_area_means(size: tuple[int, int, int, int]) -> None:
    """Against the definition, pixel by pixel."""
    high, wide, rows, columns = size
    image = np.random.default_rng(0).integers(0, 256, (high, wide, 3), np.uint8)
    reduced = reduce_by_area(image, (rows, columns))
    assert reduced.shape == (rows, columns, 3)
    for y in range(rows):
        for x in range(columns):
            window = image[
                y * high // rows : math.ceil((y + 1) * high / rows),
                x * wide // columns : math.ceil((x + 1) * wide / columns),
            ]
            np.testing.assert_array_equal(reduced[y, x], np.rint(window.mean((0, 1))))


def test_psnr_at_lq_size() -> None:
    clean = np.random.default_rng(0).integers(20, 200, (40, 60, 3), np.uint8)
    lq = reduce_by_area(clean, (10, 15))
    assert psnr_at_lq_size(lq, clean) == 80
    assert psnr_at_lq_size(lq + np.uint8(5), clean) == pytest.approx(20 * math.log10(51), abs=1e-3)
    assert psnr_at_lq_size(clean + np.uint8(5), clean) == pytest.approx(34.1514, abs=1e-3)
    with pytest.raises(SampleError, match="lq_larger_than_hq"):
        psnr_at_lq_size(clean, clean[:39])


def pair(lq: ByteImage | bytes | None, hq: ByteImage | bytes | None) -> dict[str, Any]:
    def cell(image: ByteImage | bytes | None) -> dict[str, Any]:
        data = encode_png(image) if isinstance(image, np.ndarray) else image
        return {"bytes": data, "path": "/etc/hostname"}

    return {"sample_id": "a", "lq": cell(lq), "hq": cell(hq)}


def test_psnr_of_a_dataset(write: Write) -> None:
    clean = np.random.default_rng(0).integers(20, 200, (40, 60, 3), np.uint8)
    lq = reduce_by_area(clean, (10, 15))
    rows = [
        pair(lq, clean),
        pair(lq + np.uint8(5), clean),
        pair(None, clean),  # the path of a cell is not opened
        pair(b"no image", clean),
        pair(clean, lq),
    ]
    seen: list[None] = []
    found = psnr_statistics(write(rows), 5, 500, lambda: seen.append(None))
    assert (found.looked_at, len(seen)) == (5, 5)
    assert found.psnr_db.numbers is not None
    assert (found.psnr_db.numbers.count, found.psnr_db.numbers.max) == (2, 80)
    assert found.psnr_db.numbers.min == pytest.approx(34.1514, abs=1e-3)
    assert found.lq_sizes == {"15×10": 2}
    assert found.without == {"image_bytes_missing": 1, "lq_larger_than_hq": 1, "not_an_image": 1}


def test_a_sample_of_the_rows(write: Write) -> None:
    flat = np.zeros((4, 4, 3), np.uint8)
    table = write([pair(flat + np.uint8(index), flat) for index in range(10)])
    few, again, none = (psnr_statistics(table, 10, sample) for sample in (4, 4, 0))
    assert few == again
    assert few.looked_at == 4
    assert few.psnr_db.count == 4
    assert none.looked_at == none.psnr_db.count == 0


def test_spread_is_even_and_favours_no_version() -> None:
    assert spread(3, 500) == [0, 1, 2]
    positions = spread(5000, 500)
    assert [position // 10 for position in positions] == list(range(500))
    of_version = np.bincount([position % 5 for position in positions], minlength=5)
    assert of_version.min() >= 80
    assert spread(10**6, 1) == [0]
