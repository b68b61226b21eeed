"""The page of a dataset: what it says, and how a browser shows it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from browser import CHROMIUM, Page, browser
from synthetic_photos import synthetic_photo

from inscene.dataset.inspect import open_table
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.images import encode_png
from inscene.inspection.histogram import histogram
from inscene.inspection.html.page import page
from inscene.inspection.limits import limits_of
from inscene.inspection.report import report
from inscene.recipe import load_recipe
from inscene.schema import SCENES

EVIL = '<img src=x onerror="alert(1)">&"\''
PEOPLE = ("anna", "bert", EVIL.replace("/", ""))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 photos of three people, some blurred, one truncated; a name that is no harmless text."""
    folder = tmp_path_factory.mktemp("curated")
    for index in range(48):
        sub = folder / "photos" / PEOPLE[index % 3]
        sub.mkdir(parents=True, exist_ok=True)
        photo = synthetic_photo(index, 120 + 40 * (index % 2), 140)
        if index % 5 == 0:
            photo = photo.resize((12, 14)).resize(photo.size)
        photo.save(sub / f"{index:03d}.jpg", quality=92)
    whole = (folder / "photos" / "anna" / "000.jpg").read_bytes()
    (folder / "photos" / "anna" / "torn.jpg").write_bytes(whole[:600])
    recipe = folder / "recipe.yaml"
    steps = ["decode", {"curating_steps:Curate": {"min_laplacian_var": 40.0}}]
    recipe.write_text(
        yaml.safe_dump({"name": "curated", "makes": "scenes", "shard_rows": 20, "steps": steps})
    )
    loaded, source = load_recipe(str(recipe))
    plan = engine.plan(build(loaded, source), [str(folder / "photos")], str(folder / "gallery"))
    engine.run(plan)
    return folder / "gallery"


@pytest.fixture(scope="module")
def text(dataset: Path) -> str:
    return page(report(open_table(str(dataset))))


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with browser(tmp_path_factory.mktemp("profile") / "p") as opened:
        yield opened


@pytest.fixture(scope="module")
def file(text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("page") / "page.html"
    written.write_text(text, encoding="utf-8")
    return written


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)


def test_it_is_self_contained_and_escaped(text: str) -> None:
    reader = Reader()
    reader.feed(text)
    assert all(one.startswith(("data:", "#")) for one in reader.addresses)
    assert not {"iframe", "object"} & set(reader.tags)
    assert reader.tags.count("script") == 1
    assert reader.handlers == []
    assert len(set(reader.ids)) == len(reader.ids)
    assert {one[1:] for one in reader.addresses if one.startswith("#")} <= set(reader.ids)
    assert "://" not in text
    assert "default-src 'none'" in text


def test_every_input_is_counted_once(dataset: Path) -> None:
    found = report(open_table(str(dataset)))
    assert found.funnel is not None
    assert found.funnel.inputs == 49
    refused = {one.why[2]: one.count for one in found.refused}
    assert refused["image_truncated"] == 1
    assert {"scene_blurred", "low_musiq", "other_person"} <= set(refused)
    assert sum(refused.values()) + found.funnel.kept == 49
    for measure in found.measures:
        bins = measure.bins
        assert sum(bins.kept) == len(measure.kept)
        assert sum(bins.dropped) == len(measure.refused)
        assert list(bins.edges) == sorted(set(bins.edges))
    by_name = {measure.name: measure for measure in found.measures}
    assert len(by_name["musiq"].kept) + len(by_name["musiq"].refused) == 48
    assert [limit.value for limit in by_name["musiq"].limits] == [45]
    assert by_name["faces"].limits[0].most
    assert min(by_name["musiq"].kept) >= 45


def test_metadata_of_pictures_is_not_carried_over(tmp_path: Path) -> None:
    """What is embedded was encoded anew: a thumbnail's EXIF stays behind."""
    from io import BytesIO

    from inscene.inspection.pictures import stored_thumbnail

    exif = synthetic_photo(0, 8, 8).getexif()
    exif[0x010F] = "CANARY-MAKER"
    buffer = BytesIO()
    synthetic_photo(0, 60, 40).save(buffer, "JPEG", exif=exif)
    assert b"CANARY" in buffer.getvalue()
    row = {"sample_id": "a", "thumbnail": {"bytes": buffer.getvalue(), "path": None}, "scores": {}}
    (shot,) = stored_thumbnail(row).shots
    assert b"CANARY" not in shot.jpeg
    assert b"Exif" not in shot.jpeg


def test_a_download_without_a_record_of_its_run(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "set" / "data").mkdir(parents=True)
    for one in (dataset / "data").iterdir():
        (tmp_path / "set" / "data" / one.name).write_bytes(one.read_bytes())
    found = report(open_table(str(tmp_path / "set")))
    assert found.funnel is None
    assert found.refused == ()
    html = page(found)
    assert "Where the inputs went" not in html
    assert "musiq" in html.lower()


def test_rows_without_images_and_broken_ones(tmp_path: Path) -> None:
    good = encode_png(np.asarray(synthetic_photo(0, 40, 30)))
    rows = [
        {"sample_id": "good", "image": {"bytes": good, "path": "a.png"}},
        {"sample_id": "none", "image": None},
        {"sample_id": "torn", "image": {"bytes": good[:80], "path": "a.png"}},
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCENES.schema), tmp_path / "a.parquet")
    found = report(open_table(str(tmp_path / "a.parquet")))
    assert [bool(one.missing) for one in found.kept] == [False, True, True]
    assert "no image bytes" in page(found)


def test_an_empty_dataset(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([], schema=SCENES.schema), tmp_path / "a.parquet")
    assert "<h1>a.parquet</h1>" in page(report(open_table(str(tmp_path / "a.parquet"))))


class TestHistogram:
    def test_a_limit_is_an_edge(self) -> None:
        values = np.random.default_rng(0).normal(50, 10, 500)
        found = histogram(values[values >= 47.3], values[values < 47.3], [47.3])
        assert 47.3 in found.edges
        assert not any(a and b for a, b in zip(found.kept, found.dropped, strict=True))

    def test_a_limit_beyond_the_values_is_in_sight(self) -> None:
        found = histogram(np.array([60.0, 70.5]), np.array([]), [20.0])
        assert found.edges[0] == 20

    def test_a_long_tail_is_logarithmic(self) -> None:
        values = np.geomspace(1, 10_000, 400)
        assert histogram(values, np.array([]), []).logarithmic
        assert not histogram(values - 1, np.array([]), []).logarithmic

    def test_whole_numbers_have_a_bin_each(self) -> None:
        found = histogram(np.array([1.0, 1.0, 2.0]), np.array([4.0]), [2.0])
        assert found.edges == (0.5, 1.5, 2.5, 3.5, 4.5)
        assert found.side(2.0, most=True) == 2.5
        assert (found.kept, found.dropped) == ((2, 1, 0, 0), (0, 0, 0, 1))

    @pytest.mark.parametrize("value", [0.0, -3.5, 0.3, 1e9])
    def test_one_value(self, value: float) -> None:
        found = histogram(np.array([value] * 3), np.array([]), [])
        assert sum(found.kept) == 3


def test_thresholds_of_steps_find_their_scores() -> None:
    """By their names, or by what the step says; those of an unknown step are left out."""
    steps = [
        {"step": "identity", "version": 1, "min": 0.4, "embedder": "w600k_r50"},
        {"step": "nobody:Knows", "version": 1, "min": 3},
        {"step": "curating_steps:Curate", "version": 1, "min_musiq": 50.0, "max_faces": 1.0},
        {"step": "curating_steps:Curate", "version": 0, "min_musiq": 50.0},
    ]
    found = {limit.key: (limit.score, limit.value, limit.most) for limit in limits_of(steps)}
    assert found == {
        "identity.min": ("identity", 0.4, False),
        "curating_steps:Curate.min_musiq": ("musiq", 50.0, False),
        "curating_steps:Curate.max_faces": ("faces", 1.0, True),
    }


OVERFLOWING = """
[...document.querySelectorAll("body *")].filter((one) => {
  const box = one.getBoundingClientRect();
  if (!box.width || one.closest("nav, pre, .unseen, dialog, svg")) return false;
  const clipped = getComputedStyle(one).overflowX !== "visible";
  return box.right > innerWidth + 1 || (!clipped && !["INLINE", "I"].includes(one.tagName)
    && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline");
}).map((one) => one.className || one.tagName)
"""

# WCAG: at least 4.5 between a text and what is behind it, 3 for bars.
CONTRAST = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const part = colour.slice(0, 3).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return rgba("white");
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const poor = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || ["SCRIPT", "STYLE"].includes(one.tagName) || !one.checkVisibility()) continue;
    if (one.closest("title, .tag")) continue;
    const style = getComputedStyle(one);
    const ink = one.closest("svg") ? style.fill : style.color;
    const found = ratio(rgba(ink), behind(one));
    if (found < 4.5) poor.push([one.className.baseVal ?? one.className, one.tagName, found]);
  }
  for (const one of document.querySelectorAll(".bar i, svg rect")) {
    const style = getComputedStyle(one);
    const fill = one.tagName === "I" ? style.backgroundColor : style.fill;
    const back = one.tagName === "I" ? one.parentElement.parentElement : one.closest("figure");
    if (ratio(rgba(fill), behind(back)) < 3) poor.push([fill, one.tagName]);
  }
  return poor;
})()
"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_it(width: int, dark: bool, tab: Page, file: Path) -> None:
    tab.troubles.clear()
    tab.look(width, dark=dark)
    tab.open(file)
    assert tab.run("document.documentElement.scrollWidth") == width
    assert tab.run(OVERFLOWING) == []
    assert tab.run(CONTRAST) == []
    assert tab.run("[...document.images].every((one) => one.naturalWidth > 0)")
    assert tab.run("document.images.length") > 30
    paper = tab.run("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", paper))) / 3
    assert (brightness < 60) == dark
    shot = tab.screenshot()
    assert struct.unpack(">II", shot[16:24]) == (width, 900)
    assert len(shot) > 20_000  # something is on it
    assert tab.troubles == []


def test_what_evil_names_do(tab: Page, file: Path) -> None:
    tab.troubles.clear()
    tab.look(1280)
    tab.open(file)
    assert tab.run("document.querySelectorAll('img[src=x]').length") == 0
    assert tab.run("[...document.querySelectorAll('#people .word')].map((o) => o.textContent)")
    assert EVIL.replace("/", "") in tab.run("document.querySelector('#people').innerText")
    assert tab.troubles == []


def test_the_keyboard_reaches_everything_in_the_order_of_the_page(tab: Page, file: Path) -> None:
    tab.look(1280)
    tab.open(file)
    reachable = tab.run(
        "document.querySelectorAll('a[href], button, select, input, summary, pre').length"
        " - document.querySelectorAll('dialog button, details:not([open]) pre').length"
    )
    tops: list[float] = []
    for _ in range(reachable):
        tab.press("Tab")
        tops.append(
            tab.run(
                "(() => { const one = document.activeElement; one.dataset.seen = 1;"
                "return one.closest('nav') ? 0 : one.getBoundingClientRect().top + scrollY; })()"
            )
        )
    assert tab.run("document.querySelectorAll('[data-seen]').length") == reachable
    assert tops == sorted(tops)
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert tab.run(outline) == "solid"


def test_one_picture_large(tab: Page, file: Path) -> None:
    tab.look(1280)
    tab.open(file)
    tab.run("document.querySelector('.open').focus()")
    tab.press("Enter")
    tab.wait_for("document.querySelector('dialog').open")
    first = tab.run("document.querySelector('#large-title').textContent")
    tab.press("ArrowRight")
    second = tab.run("document.querySelector('#large-title').textContent")
    assert first != second
    assert "MUSIQ" in tab.run("document.querySelector('dialog').innerText")
    tab.press("ArrowLeft")
    tab.press("ArrowLeft")  # round to the last
    kept = tab.run("document.querySelectorAll('#kept-sheet > li').length")
    assert tab.run("document.querySelector('.large-place').textContent") == f"{kept} of {kept}"
    tab.press("Escape")
    tab.wait_for("!document.querySelector('dialog').open")
    tab.wait_for(  # the page is told after the key
        "document.activeElement.closest('li') === document.querySelector('#kept-sheet').lastChild"
    )


def test_kept_ones_in_order_of_a_score(tab: Page, file: Path) -> None:
    tab.look(1280)
    tab.open(file)
    order = (
        "[...document.querySelectorAll('#kept-sheet > li')].map((one) => +one.dataset.scoreMusiq)"
    )
    stored = tab.run(order)
    choose = (
        "(() => { const list = document.querySelector('select[data-sorts]'); list.value = '%s';"
        "list.dispatchEvent(new Event('change')); })()"
    )
    tab.run(choose % "musiq|-1")
    assert tab.run(order) == sorted(stored, reverse=True)
    tab.run(choose % "")
    assert tab.run(order) == stored


def test_face_boxes_are_where_the_faces_are(tab: Page, file: Path) -> None:
    tab.look(1280)
    tab.open(file)
    box = "document.querySelector('.face')"
    assert tab.run(f"getComputedStyle({box}).display") == "none"
    tab.run("document.querySelector('input[data-faces]').click()")
    share = tab.run(
        f"(() => {{ const a = {box}.getBoundingClientRect(), "
        f"b = {box}.parentElement.querySelector('img').getBoundingClientRect();"
        "return [(a.left - b.left) / b.width, (a.bottom - b.top) / b.height]; })()"
    )
    assert share == pytest.approx([0.3, 0.6], abs=0.02)
