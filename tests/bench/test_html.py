"""The page, as a browser sees it: headless Chromium runs its script on copies that press keys."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_results import made_results
from synthetic_photos import synthetic_photo

from inscene.bench.leaderboard import boards_of, load_published, render
from inscene.bench.leaderboard.html.axes import Axis, linear_axis, time_axis
from inscene.images import encode_png

CHROMIUM = shutil.which("chromium")
EVIL = '<img src=x onerror="alert(1)">&"\''


@pytest.fixture(scope="module")
def page() -> str:
    why = {"clipiqa": {"reason": "the weight 'clip-rn50' is not here", "next_step": ""}}
    results = [
        made_results("middle", better=0.0, seconds=1.5, unavailable=why),
        made_results("good", better=0.5, seconds=30.0, unavailable=why),
        made_results(EVIL, better=-0.5, seconds=0.002, unavailable=why),
    ]
    photo = np.asarray(synthetic_photo(0, 1400, 700))
    pictures = {
        "LQ": encode_png(np.ascontiguousarray(photo[::4, ::4])),
        "middle": encode_png(photo),
    }
    return render(
        boards_of(results, baseline="middle"),
        "html",
        published=load_published("2")[:1],
        examples=[(f"a sample {EVIL}", {**pictures, "GT": encode_png(255 - photo)})],
    )


class Reader(HTMLParser):
    """Every address and tag of a page."""

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


def test_the_page_is_self_contained_and_escaped(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    assert all(one.startswith(("data:image/jpeg;base64,", "#")) for one in reader.addresses)
    assert not {"link", "iframe", "object"} & set(reader.tags)
    assert reader.tags.count("script") == 1
    assert reader.handlers == []
    assert reader.tags.count("img") == 3
    assert len(set(reader.ids)) == len(reader.ids)
    assert "http" not in re.sub(r"http-equiv", "", page.replace("data:image", ""))
    assert "default-src 'none'" in page


def test_images_are_reduced(page: str) -> None:
    import base64
    import io

    from PIL import Image

    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    sizes = [Image.open(io.BytesIO(base64.b64decode(one))).size for one in found]
    assert sizes == [(350, 175), (640, 320), (640, 320)]


def in_browser(page: str, script: str, folder: Path) -> object:
    """What the script returns, of a copy of the page in which it runs last."""
    probe = (
        "<script>addEventListener('load', () => { const result = (() => {" + script + "})();"
        "const out = document.createElement('pre'); out.id = 'probe';"
        "out.textContent = encodeURIComponent(JSON.stringify(result));"
        "document.body.append(out); });</script></body>"
    )
    copy = folder / "page.html"
    copy.write_text(page.replace("</body>", probe), encoding="utf-8")
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={folder / 'profile'}", "--window-size=1200,900",
            "--virtual-time-budget=3000", "--dump-dom", copy.as_uri(),
        ],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    from urllib.parse import unquote

    found = re.search(r'<pre id="probe">([^<]*)</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(unquote(found[1]))


NAMES = """
const names = (body) => [...body.rows].filter((r) => !r.classList.contains("title"))
  .map((r) => r.cells[0].textContent);
const table = document.querySelector("table.board");
const heads = [...table.tHead.rows[0].cells];
const head = (title) => heads.find((h) => h.textContent.startsWith(title));
const press = (title) => head(title).querySelector("button").click();
const state = () => [names(table.tBodies[0]), names(table.tBodies[1])[0]];
"""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
class TestInABrowser:
    def test_columns_sort(self, page: str, tmp_path: Path) -> None:
        found = in_browser(
            page,
            NAMES
            + """
            const seen = [];
            for (const title of ["PSNR", "PSNR", "DISTS", "CLIP-IQA", "method"]) {
              press(title);
              seen.push([...state(), head(title).getAttribute("aria-sort"),
                heads.filter((h) => h.hasAttribute("aria-sort")).length]);
            }
            return seen;
            """,
            tmp_path,
        )
        up, down = [EVIL, "middle", "good"], ["good", "middle", EVIL]
        assert found == [
            [down, "PASD (20 steps)", "descending", 1],  # the better end first
            [up, "Face2Scene (1 step)", "ascending", 1],
            [down, "Face2Scene (1 step)", "ascending", 1],
            [down, "Face2Scene (1 step)", "descending", 1],  # n/a everywhere: as it was
            [[EVIL, "good", "middle"], "DiffBIR (50 steps)", "ascending", 1],
        ]  # published rows stay in their own section

    def test_the_slider_moves_and_the_images_are_chosen(self, page: str, tmp_path: Path) -> None:
        found = in_browser(
            page,
            """
            const figure = document.querySelector(".compare");
            const range = figure.querySelector("input[type=range]");
            const [left, right] = figure.querySelectorAll("select");
            const change = (control, value) => {
              control.value = value;
              control.dispatchEvent(new Event("input", {bubbles: true}));
            };
            const look = () => [...figure.querySelectorAll(".layer")].map((layer) => [
              layer.dataset.label, layer.hidden, getComputedStyle(layer).clipPath]);
            const seen = [look()];
            change(range, 20);
            change(right, "GT");
            seen.push(look(), range.getAttribute("aria-valuetext"));
            change(left, "GT");
            seen.push(look());
            const loaded = [...document.images].every((image) => image.naturalWidth > 0);
            const box = figure.querySelector(".stage").getBoundingClientRect();
            return [seen, loaded, Math.round(100 * box.width / box.height) / 100];
            """,
            tmp_path,
        )
        whole = "none"
        assert found == [
            [
                [["LQ", False, "inset(0px 50% 0px 0px)"],
                 ["middle", False, "inset(0px 0px 0px 50%)"],
                 ["GT", True, whole]],
                [["LQ", False, "inset(0px 80% 0px 0px)"],
                 ["middle", True, whole],
                 ["GT", False, "inset(0px 0px 0px 20%)"]],
                "20 % LQ, 80 % GT",
                [["LQ", True, whole], ["middle", True, whole], ["GT", False, whole]],
            ],
            True,
            2.0,
        ]  # fmt: skip

    def test_the_keyboard_reaches_everything_and_nothing_overflows(
        self, page: str, tmp_path: Path
    ) -> None:
        found = in_browser(
            page,
            """
            const controls = [...document.querySelectorAll("button, select, input, .scroll")];
            const unnamed = controls.filter((one) => !(one.textContent.trim() || one.ariaLabel
              || (one.labels && one.labels.length)));
            document.body.style.width = "400px";
            const edge = document.body.getBoundingClientRect().right;
            const wide = [...document.body.querySelectorAll("main > section > *, figure, nav")]
              .filter((one) => one.getBoundingClientRect().right > edge)
              .map((one) => one.className || one.tagName);
            return [controls.every((one) => one.tabIndex === 0), unnamed.length, wide];
            """,
            tmp_path,
        )
        assert found == [True, 0, []]

    def test_a_list_chooses_the_time_plot(self, page: str, tmp_path: Path) -> None:
        found = in_browser(
            page,
            """
            const list = document.querySelector("select[data-chooses]");
            list.value = "musiq";
            list.dispatchEvent(new Event("change"));
            return [...document.querySelectorAll(".choice")].filter((one) => !one.hidden)
              .map((one) => one.dataset.of);
            """,
            tmp_path,
        )
        assert found == ["musiq"]


def test_ticks_are_round_and_inside() -> None:
    assert linear_axis([23.1, 25.9], 0, 100).ticks() == [23, 24, 25, 26]
    assert time_axis([0.001, 35.0], 0, 100).ticks() == pytest.approx([0.001, 0.01, 0.1, 1, 10])
    assert time_axis([1.3, 5.1], 0, 100).ticks() == [1, 2, 5]
    assert linear_axis([0.5], 0, 100).px(0.5) == pytest.approx(50)
    assert Axis(1, 100, 0, 10, logarithmic=True).px(10) == pytest.approx(5)
