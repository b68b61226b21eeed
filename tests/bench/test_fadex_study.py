"""The study of FaDeX's codes: what it looks at, what it concludes, and what it writes."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from inscene import images
from inscene.bench.fadex_study import figure
from inscene.bench.fadex_study.codes import load_encoder
from inscene.bench.fadex_study.colours import colour_of, contrast, ink_on
from inscene.bench.fadex_study.faces import FaceFinder, Looked, StudyFace
from inscene.bench.fadex_study.measure import Measured, StudiedImage, _compared, measure
from inscene.bench.fadex_study.page import html
from inscene.bench.fadex_study.pairs import face_pairs, load_presets
from inscene.bench.fadex_study.png import ENLARGED, png
from inscene.bench.fadex_study.report import Report, as_csv, as_json, as_text
from inscene.bench.fadex_study.run import plan
from inscene.bench.fadex_study.settings import Study
from inscene.bench.suites import Suite, load_suite
from inscene.cli.app import app
from inscene.dataset.sources import list_inputs
from inscene.degrade import degrade
from inscene.degrade.versions import Version
from inscene.errors import RecipeError, UsageError, VerificationError
from inscene.face2scene.contrastive import info_nce
from inscene.face2scene.fadex_folder import save_fadex
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.faces.align import Box
from inscene.faces.detectors.metadata import Metadata
from inscene.faces.templates import FFHQ_512
from inscene.restore.pairing import at_scene_size

SIDE = 128
PRESETS = ("d1", "d2", "d3", "d4")
STUDY = Study(images=3, detector="metadata")


def photo(seed: int, side: int = SIDE) -> np.ndarray:
    """Coarse and fine structure, so that there is something to blur."""
    rng = np.random.default_rng(seed)
    total = np.zeros((side, side, 3))
    for cells, weight in ((4, 0.5), (16, 0.3), (64, 0.2)):
        layer = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += weight * np.asarray(layer.resize((side, side), Image.Resampling.BICUBIC))
    return np.clip(total, 0, 255).astype(np.uint8)


def landmarks(side_px: float, middle: float = SIDE / 2) -> list[float]:
    """Of an upright face whose square is as wide as this."""
    points = (np.asarray(FFHQ_512.landmarks5) - 256) * side_px / 512 + middle
    return points.ravel().tolist()


def as_pixels(image: torch.Tensor) -> np.ndarray:
    return ((image + 1) * 127.5).round().permute(1, 2, 0).numpy()


def png_bytes(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


Row = tuple[str, bytes, float | None]
"""Id, image file, width of its face in px."""


def dataset(path: Path, rows: Sequence[Row]) -> str:
    """A Parquet file of images that say where their faces are."""
    columns = {
        "sample_id": [name for name, _, _ in rows],
        "image": [{"bytes": data, "path": f"{name}.png"} for name, data, _ in rows],
        "face_bbox": [None if side is None else [0.0, 0.0, 9.0, 9.0] for _, _, side in rows],
        "landmarks5": [None if side is None else landmarks(side) for _, _, side in rows],
    }
    types = {
        "sample_id": pa.string(),
        "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        "face_bbox": pa.list_(pa.float32()),
        "landmarks5": pa.list_(pa.float32()),
    }
    arrays = {name: pa.array(columns[name], kind) for name, kind in types.items()}
    pq.write_table(pa.table(arrays), path)
    return str(path)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four pictures with faces, and four of which each has another reason not to be taken."""
    rows: list[Row] = [
        ("a", png_bytes(photo(1)), 64.0),
        ("b-broken", b"\x89PNG\r\n\x1a\nnothing", 64.0),
        ("c-no-face", png_bytes(photo(2)), None),
        ("d", png_bytes(photo(3)), 64.0),
        ("e-small", png_bytes(photo(4)), 20.0),
        ("f-as-a", png_bytes(photo(1)), 64.0),
        ("g", png_bytes(photo(5)), 48.0),
        ("h", png_bytes(photo(6)), 64.0),
    ]
    return dataset(tmp_path_factory.mktemp("people") / "people.parquet", rows)


@dataclass(frozen=True)
class Checkpoints:
    untrained: str
    trained: str


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    """A tiny model as it begins, and one whose FaDeX has seen the presets on other pictures."""
    folder = tmp_path_factory.mktemp("checkpoints")
    pipeline = Face2ScenePipeline.from_family("tiny")
    pipeline.save_pretrained(folder / "untrained")
    presets = load_presets(PRESETS)
    box = Box(32, 32, 96, 96)
    pairs = [
        pair
        for seed in range(100, 112)
        for pair in face_pairs(StudyFace("", str(seed), photo(seed), box), presets, seed=0)
    ]
    hq, lq = (torch.stack([getattr(pair, side) for pair in pairs]) for side in ("hq", "lq"))
    operators = torch.arange(len(presets)).repeat(12)
    fadex = pipeline.fadex.requires_grad_(True).train()
    optimiser = torch.optim.Adam(fadex.parameters(), lr=2e-3)
    no_labels = torch.zeros(0, dtype=torch.int64)
    for step in range(40):
        top, left = step % 5 * 4, step % 4 * 4
        window = (..., slice(top, top + 48), slice(left, left + 48))
        codes = fadex(hq[window], lq[window]).embedding
        no_queue = torch.zeros(0, codes.shape[1])
        loss = info_nce(codes, codes.detach(), operators, no_queue, no_labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    fadex.eval()
    pipeline.save_pretrained(folder / "trained")
    return Checkpoints(str(folder / "untrained"), str(folder / "trained"))


@pytest.fixture(scope="session")
def measured(checkpoints: Checkpoints, people: str) -> dict[str, Measured]:
    inputs = list_inputs([people])
    return {
        name: measure(STUDY, inputs, load_encoder(getattr(checkpoints, name)))
        for name in ("untrained", "trained")
    }


@pytest.fixture(scope="session")
def report(checkpoints: Checkpoints, people: str, measured: dict[str, Measured]) -> Report:
    encoder = load_encoder(checkpoints.trained)
    return Report("fadex-similarity", people, STUDY, encoder, measured["trained"])


def test_training_opens_the_gap(measured: dict[str, Measured]) -> None:
    before, after = measured["untrained"].embedding, measured["trained"].embedding
    assert abs(before.gap) < 0.01
    assert after.gap > 0.3
    assert after.across_images > 0.8
    assert before.retrieval < 0.5 < after.retrieval
    assert measured["trained"].verdict.startswith("the codes follow the degradation")


def test_what_is_looked_at(measured: dict[str, Measured]) -> None:
    looked = measured["trained"].looked
    assert [image.id for image in measured["trained"].images] == ["a", "d", "g"]
    assert [(one.id, one.reason, one.failed) for one in looked.passed_over] == [
        ("b-broken", "image_truncated", True),
        ("c-no-face", "no_face", False),
        ("e-small", "face_too_small", False),
        ("f-as-a", "same_image", False),
    ]
    assert looked.dropped == {"no_face": 1, "face_too_small": 1, "same_image": 1}
    assert looked.errors == {"image_truncated": 1}
    assert looked.inputs == 7  # the last is not needed
    box = measured["trained"].images[2].box
    assert 46 <= box[2] - box[0] <= 48
    assert measured["trained"].images[2].size == (SIDE, SIDE)


def test_it_is_the_same_again(checkpoints: Checkpoints, people: str, report: Report) -> None:
    again = measure(STUDY, list_inputs([people]), load_encoder(checkpoints.trained))
    other = Report(report.suite, report.dataset, report.study, report.encoder, again)
    assert as_json(other) == as_json(report)


def test_codes_are_those_of_inference(checkpoints: Checkpoints, people: str) -> None:
    """HQ is the clean crop, LQ the box of the LQ that ``inscene degrade`` makes."""
    finder = FaceFinder(Metadata(), "metadata", 32)
    face = next(iter(finder.find(list_inputs([people]))))
    assert isinstance(face, StudyFace)
    (preset, *_) = load_presets(PRESETS)
    (pair, *_) = face_pairs(face, load_presets(PRESETS), seed=5)
    lq = degrade(face.scene, preset.operator, Version(face.sha256, 0, 5).noise_seed)
    box = np.s_[face.box.y0 : face.box.y1, face.box.x0 : face.box.x1]
    for found, wanted in ((pair.lq, at_scene_size(lq, (SIDE, SIDE))), (pair.hq, face.scene)):
        assert np.array_equal(as_pixels(found), wanted[box])
    encoder = load_encoder(checkpoints.trained)
    (embedding,), (features,) = encoder.codes([pair])
    assert embedding.norm().item() == pytest.approx(1)
    with torch.no_grad():
        code = encoder.fadex(pair.hq[None], pair.lq[None])
    torch.testing.assert_close(embedding, code.embedding[0])
    torch.testing.assert_close(features, code.features.mean(dim=(2, 3))[0])


def test_the_lq_is_that_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo(1)).save(tmp_path / "photos" / "a.png")
    command = ["degrade", tmp_path / "photos", "--preset", "d2", "--versions", "1", "--seed", "7"]
    done = CliRunner().invoke(app, [*map(str, command), "--out", str(tmp_path / "pairs")])
    assert done.exit_code == 0, done.output
    (row,) = pq.read_table(tmp_path / "pairs" / "data").to_pylist()
    whole = Box(0, 0, SIDE, SIDE)
    (pair,) = face_pairs(StudyFace("a", row["sha256"], photo(1), whole), load_presets(["d2"]), 7)
    lq = at_scene_size(images.decode(row["lq"]["bytes"]).pixels, (SIDE, SIDE))
    assert np.array_equal(as_pixels(pair.lq), lq)


def hand_made(vectors: torch.Tensor) -> Measured:
    """Images × presets × 2 codes of the plane."""
    images = tuple(
        StudiedImage(f"<i>{number}</i>", "0" * 64, (9, 9), (0, 0, 8, 8))
        for number in range(len(vectors))
    )
    presets = load_presets(PRESETS[: vectors.shape[1]])
    codes = _compared("embedding", "q", vectors), _compared("features", "h", vectors)
    return Measured(images, presets, *codes, Looked())


def plane(degrees: Sequence[Sequence[float]]) -> torch.Tensor:
    angle = torch.tensor(degrees).deg2rad()
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def test_the_verdict_by_hand() -> None:
    good = hand_made(plane([[0, 90], [0, 90]]))
    assert (good.embedding.across_images, good.embedding.across_presets) == pytest.approx(
        (1, 0), abs=1e-6
    )
    assert good.embedding.gap == pytest.approx(1)
    assert good.embedding.retrieval == 1
    assert "gap +1.0000" in good.verdict
    bad = hand_made(plane([[0, 0], [90, 90]]))
    assert bad.embedding.gap == pytest.approx(-1)
    assert bad.embedding.retrieval < 1
    assert bad.verdict.startswith("does not tell degradations apart: ")
    even = hand_made(plane([[0, 0], [0, 0]]))
    assert even.embedding.gap == 0
    assert even.verdict.startswith("does not tell degradations apart: ")
    hair = hand_made(plane([[0, 0.2], [0.1, 0.3]]))
    assert hair.embedding.gap_text == "+5e-06"
    with pytest.raises(VerificationError, match="not finite"):
        hand_made(torch.full((2, 2, 2), torch.nan))


def test_too_few_faces(tmp_path: Path, checkpoints: Checkpoints) -> None:
    one = dataset(
        tmp_path / "one.parquet",
        [("a", png_bytes(photo(1)), 64.0), ("b", png_bytes(photo(2)), None)],
    )
    encoder = load_encoder(checkpoints.untrained)
    with pytest.raises(UsageError, match=r"two images .* Of 2 looked at, one has .*1 no_face"):
        measure(STUDY, list_inputs([one]), encoder)


def test_a_real_face_is_found(tmp_path: Path, checkpoints: Checkpoints) -> None:
    pytest.importorskip("facenet_pytorch")
    from skimage import data

    eileen = data.astronaut()[:256, 96:352]
    Image.fromarray(eileen).save(tmp_path / "a.png")
    Image.fromarray(np.ascontiguousarray(eileen[:, ::-1])).save(tmp_path / "b.png")
    Image.fromarray(data.coffee()[:96, :96]).save(tmp_path / "c.png")
    encoder = load_encoder(checkpoints.untrained)
    found = measure(Study(presets=("d1", "d3")), list_inputs([str(tmp_path)]), encoder)
    assert [image.id for image in found.images] == ["a.png", "b.png"]
    assert found.looked.dropped == {"no_face": 1}
    for image in found.images:
        assert 140 <= image.box[2] - image.box[0] <= 170


def test_only_fadex_is_read(tmp_path: Path, checkpoints: Checkpoints) -> None:
    """A checkpoint that was tampered with is refused, also beside FaDeX."""
    import shutil

    encoder = load_encoder(checkpoints.trained)
    assert set(encoder.files) == {
        "fadex/config.json",
        "fadex/diffusion_pytorch_model.safetensors",
    }
    assert encoder.sha256 != load_encoder(checkpoints.untrained).sha256
    copy = tmp_path / "copy"
    shutil.copytree(checkpoints.trained, copy)
    assert load_encoder(str(copy)).sha256 == encoder.sha256
    (copy / "mapnet" / "config.json").write_text("{}")
    with pytest.raises(VerificationError):
        load_encoder(str(copy))
    with pytest.raises(UsageError, match="holds no FaDeX"):
        load_encoder(str(tmp_path))


def test_fadex_alone(tmp_path: Path, checkpoints: Checkpoints) -> None:
    """What its training gives: the folder, or the run that has it."""
    whole = load_encoder(checkpoints.trained)
    folder = tmp_path / "run" / "model"
    folder.mkdir(parents=True)
    save_fadex(whole.fadex, whole.config.family, folder)
    for place in (folder, folder.parent):
        alone = load_encoder(str(place))
        assert alone.files.keys() == whole.files.keys()
        assert alone.config.faces == whole.config.faces
        for one, other in zip(alone.fadex.parameters(), whole.fadex.parameters(), strict=True):
            assert torch.equal(one, other)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    pipeline = Face2ScenePipeline.from_family("tiny")
    with torch.no_grad():
        pipeline.fadex.head[0].weight[0, 0] = torch.nan
    pipeline.save_pretrained(tmp_path / "broken")
    with pytest.raises(VerificationError, match="not finite"):
        load_encoder(str(tmp_path / "broken"))


# What is written


def test_json_has_all_numbers(report: Report) -> None:
    document = json.loads(as_json(report))
    assert document["schema"] == "inscene.fadex-similarity/1"
    code = document["codes"]["embedding"]
    assert set(code["image_pairs"]) == set(code["per_preset"]) == set(PRESETS)
    assert set(code["preset_pairs"]) == {"a", "d", "g"}
    assert np.shape(code["image_pairs"]["d1"]) == (3, 3)
    assert np.shape(code["preset_pairs"]["a"]) == (4, 4)
    assert np.mean(list(code["per_preset"].values())) == pytest.approx(code["across_images"])
    above = np.triu_indices(4, 1)
    for name, matrix in code["preset_pairs"].items():
        assert np.array(matrix)[above].mean() == pytest.approx(code["per_image"][name])
    assert code["gap"] == pytest.approx(code["across_images"] - code["across_presets"])
    assert re.fullmatch("[0-9a-f]{64}", document["checkpoint"]["sha256"])
    assert document["versions"]["torch"]
    assert [one["id"] for one in document["passed_over"]] == [
        "b-broken", "c-no-face", "e-small", "f-as-a",
    ]  # fmt: skip
    assert document["notes"] == []


def test_csv_has_each_pair_once(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(report))))
    assert len(rows) == 2 * (4 * 3 + 3 * 6)
    for code in report.measured.codes:
        for across, mean in (("images", code.across_images), ("presets", code.across_presets)):
            values = [
                float(row["cosine"])
                for row in rows
                if (row["code"], row["across"]) == (code.key, across)
            ]
            assert np.mean(values) == pytest.approx(mean, abs=1e-12)
    assert {(row["one"], row["other"]) for row in rows if row["across"] == "images"} == {
        ("a", "d"), ("a", "g"), ("d", "g"),
    }  # fmt: skip


def test_fewer_images_are_said(report: Report) -> None:
    more = Report(report.suite, report.dataset, Study(images=5), report.encoder, report.measured)
    assert "3 images, not 5" in as_text(more)
    assert "3 images, not 5" in html(more)
    assert "not 3" not in as_text(report)


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {"src", "href", "srcset"} & {name for name, _ in attrs}
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_escaped(report: Report) -> None:
    made = hand_made(plane([[0, 90], [10, 80], [5, 85]]))
    page = html(Report("mine", "<b>", STUDY, report.encoder, made))
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert not {"script", "img", "link", "i", "b"} & set(reader.tags)
    assert reader.tags.count("svg") == 6  # of two codes: two figures and the scale
    assert "&lt;i&gt;0&lt;/i&gt;" in page
    # Of each code: two presets × 3 × 3, three images × 2 × 2, and the scale.
    assert reader.tags.count("rect") == 2 * (2 * 9 + 3 * 4 + 101)
    assert "default-src 'none'" in page


def test_the_picture(report: Report) -> None:
    made = hand_made(plane([[0, 90], [0, 90], [0, 90]]))
    drawn = figure.both(made.embedding, PRESETS[:2])
    picture = Image.open(io.BytesIO(png(drawn)))
    assert picture.size == tuple(
        round((side + 32) * ENLARGED) for side in (drawn.width, drawn.height)
    )
    assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    pixels = np.asarray(picture)

    def at_corner(rect: figure.Rect) -> tuple[int, ...]:
        x, y = (round((place + 16 + 2) * ENLARGED) for place in (rect.x, rect.y))
        return tuple(int(value) for value in pixels[y, x])

    cells = [rect for rect in drawn.rects if rect.width > 3]
    assert len(cells) == 2 * 9 + 3 * 4
    alike = [rect for rect in cells if rect.said.endswith("1.0000")]
    other = [rect for rect in cells if rect.said.endswith(" 0.0000")]
    own = [rect for rect in cells if rect.fill is None]
    assert (len(alike), len(other), len(own)) == (2 * 6, 3 * 2, 2 * 3 + 3 * 2)
    assert {at_corner(rect) for rect in alike} == {colour_of(1)}
    assert {at_corner(rect) for rect in other} == {colour_of(0)}
    assert {at_corner(rect) for rect in own} == {(225, 225, 225)}


@settings(deadline=None, derandomize=True, max_examples=8)
@given(images=st.integers(2, 30), presets=st.integers(2, 4))
def test_nothing_is_drawn_outside_or_over_another(images: int, presets: int) -> None:
    code = _compared("embedding", "q", torch.randn(images, presets, 4))
    drawn = figure.both(code, PRESETS[:presets])
    assert all(one.x >= 0 and one.x + one.width <= drawn.width + 1e-6 for one in drawn.rects)
    assert all(one.y >= 0 and one.y + one.height <= drawn.height + 1e-6 for one in drawn.rects)
    for text in drawn.texts:
        width = 0.56 * text.size * len(text.text)
        left = text.x - {"start": 0.0, "middle": width / 2, "end": width}[text.anchor]
        assert left >= -16
        assert left + width <= drawn.width + 16
        assert 0 < text.y <= drawn.height
    for one, other in itertools.combinations(drawn.texts, 2):  # on one line
        if one.y == other.y and one.size == other.size:
            assert abs(one.x - other.x) >= 0.56 * one.size * max(len(one.text), len(other.text))
    corners = {(round(one.x, 3), round(one.y, 3)) for one in drawn.rects}
    assert len(corners) == len(drawn.rects) == 101 + presets * images**2 + images * presets**2


@settings(derandomize=True, max_examples=60)
@given(value=st.floats(-1.1, 1.1))
def test_colours(value: float) -> None:
    red, green, blue = colour_of(value)
    assert all(0 <= one <= 255 for one in (red, green, blue))
    if abs(value) > 0.02:
        assert (red > blue) == (value > 0)
    assert contrast(ink_on((red, green, blue)), (red, green, blue)) > 4.5


# Suites and the command


def test_the_shipped_suite_is_the_papers() -> None:
    suite = load_suite("fadex-similarity")
    assert (suite.kind, suite.answers) == ("fadex_similarity", "Figure 3")
    assert suite.study == Study()
    assert (suite.study.images, suite.study.presets) == (10, PRESETS)
    assert load_suite("demo").kind == "restoration"


HEAD = "title: T\nanswers: nothing\ndataset: {make: 'Make it.'}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: fadex_similarity\nmetrics: [psnr]", "metrics: suites of the kind fadex_sim"),
        ("kind: fadex_similarity\nview: face", "view: suites of the kind"),
        ("kind: fadex_similarity\nstudy: {image: 3}", "study.image: Extra inputs"),
        ("kind: fadex_similarity\nstudy: {images: 1}", "study.images: "),
        ("kind: fadex_similarity\nstudy: {presets: [d1, d1]}", "study.presets: .*two or more"),
        ("kind: similarity", "kind: "),
        ("study: {images: 3}\nmetrics: [psnr]", "study: suites of the kind restoration"),
        ("kind: restoration", "metrics: "),
    ],
)
def test_mistakes_in_suites(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(HEAD + text)
    with pytest.raises(RecipeError, match=said):
        load_suite(str(tmp_path / "mine.yaml"))


def test_out_among_the_images_is_refused(tmp_path: Path) -> None:
    suite = Suite.model_validate(
        {"name": "s", "title": "", "answers": "", "dataset": {}, "kind": "fadex_similarity"}
    )
    Image.fromarray(photo(1)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="both --dataset and --out"):
        plan(suite, str(tmp_path), "C", dataset=str(tmp_path))
    assert len(plan(suite, str(tmp_path / "out"), "C", dataset=str(tmp_path)).inputs) == 1


@pytest.fixture
def mine(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(f"{HEAD}kind: fadex_similarity\nstudy: {{images: 3, detector: metadata}}\n")
    return str(path)


def test_the_command(tmp_path: Path, mine: str, people: str, checkpoints: Checkpoints) -> None:
    command = ["bench", "--suite", mine, "--dataset", people, "--checkpoint", checkpoints.trained]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out")])
    assert done.exit_code == 1, done.output  # one image is broken
    assert "verdict: the codes follow the degradation" in done.stdout
    assert "image_truncated" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "fadex-similarity-features.png",
        "fadex-similarity.csv",
        "fadex-similarity.html",
        "fadex-similarity.json",
        "fadex-similarity.png",
    ]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out"), "--json"])
    printed = json.loads(done.stdout)
    written = json.loads((tmp_path / "out" / "fadex-similarity.json").read_text())
    assert printed["codes"]["embedding"]["gap"] == written["codes"]["embedding"]["gap"]
    assert "image_pairs" not in printed["codes"]["embedding"]
    assert len(printed["files"]) == 5


def test_the_command_plans(tmp_path: Path, mine: str, people: str) -> None:
    command = ["bench", "--suite", mine, "--dataset", people, "--checkpoint", "nobody/nothing"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out"), "--plan"])
    assert done.exit_code == 0, done.output
    assert "8 images" in done.stdout
    assert not (tmp_path / "out").exists()
    done = CliRunner().invoke(
        app, [*command, "--out", str(tmp_path / "out"), "--plan", "--json", "--limit", "2"]
    )
    assert json.loads(done.stdout)["inputs"] == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--method", "bicubic"],
        ["--metrics", "psnr"],
        ["--require-all"],
        ["--references", "R"],
        ["--option", "tokens=3"],
        ["--workers", "2"],
        ["--executor", "inline"],
    ],
)
def test_options_of_other_suites_are_refused(options: list[str], mine: str) -> None:
    command = ["bench", "--suite", mine, "--checkpoint", "C", "--out", "nowhere"]
    done = CliRunner().invoke(app, [*command, *options])
    assert isinstance(done.exception, UsageError)
    assert f"takes no {options[0]}" in str(done.exception)


def test_a_checkpoint_is_needed(mine: str) -> None:
    done = CliRunner().invoke(app, ["bench", "--suite", mine, "--out", "nowhere"])
    assert isinstance(done.exception, UsageError)
    assert "--checkpoint" in str(done.exception)
