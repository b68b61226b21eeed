"""RAM++: the official file's tensors, and a plain computation of what they do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

pytest.importorskip("timm")

from tiny_weights.ram_plus import (
    NAMES,
    TINY,
    official_shapes,
    ram_plus_state,
    write_lists,
    write_ram_plus,
)
from tiny_weights.yolov8_face import write_evil

from inscene.errors import MachineError
from inscene.synthetic.tags.ram_plus import IGNORED, RamPlus, load_ram_plus, own_name
from inscene.synthetic.tags.ram_plus_tagger import (
    Labels,
    RamPlusTagger,
    prepare,
    read_labels,
)
from inscene.synthetic.tags.settings import OFFICIAL, TAG_LIST, THRESHOLDS
from inscene.weights.manifest import load_manifest

LISTED = Path(__file__).parent / "data" / "ram_plus_swin_large_14m.txt"
SHAPES = dict(line.split() for line in LISTED.read_text().splitlines())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ram") / "ram_plus_swin_large_14m.pth"
    write_ram_plus(path)
    return path


@pytest.fixture(scope="module")
def network(file: Path) -> RamPlus:
    return load_ram_plus(file, TINY)


def photos(count: int, *, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 5, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(one).resize((50, 70))) for one in small]


def batch_of(images: list[np.ndarray]) -> Tensor:
    return torch.stack([prepare(image, TINY.image_px) for image in images])


class TestOfficialFile:
    """The names and shapes follow from the authors' code, and the published size says that there
    are no others: see the second test."""

    def test_all_of_it_is_used(self) -> None:
        with torch.device("meta"):
            network = RamPlus()
        own = {
            name: "x".join(map(str, t.shape)) or "scalar"
            for name, t in network.state_dict().items()
        }
        used = {own_name(n): shape for n, shape in SHAPES.items() if not n.endswith(IGNORED)}
        assert own == used
        assert own["label_embed"] == "233835x512"  # [recognize-anything #129]
        assert own["visual_encoder.layers.1.downsample.reduction.weight"] == "384x768"
        ignored = [name for name in SHAPES if name.endswith(IGNORED)]
        assert len(ignored) == 24 + 11
        assert all(name.startswith("visual_encoder.") for name in ignored)

    def test_its_size_is_that_of_these_tensors_and_of_their_training(self) -> None:
        """Its authors save AdamW's two moments of all but the frozen ``label_embed`` beside it."""
        sizes = {
            name: math.prod(map(int, shape.split("x"))) if shape != "scalar" else 1
            for name, shape in SHAPES.items()
        }
        stored = sum(n * (8 if name.endswith("index") else 4) for name, n in sizes.items())
        trained = sum(
            n for name, n in sizes.items() if not name.endswith((*IGNORED, "label_embed"))
        )
        published = load_manifest()["ram-plus"].files[0].bytes
        assert published is not None
        rest = published - stored - 8 * trained
        assert 0 < rest < 500 * 1200  # 500 bytes of packing for each of about 1,200 tensors

    def test_the_tiny_one_has_its_layout(self) -> None:
        tiny = set(official_shapes(TINY))
        assert tiny < set(SHAPES)
        assert set(official_shapes(OFFICIAL)) == set(SHAPES)


def test_downsampling_moves_as_timm_moves_it(network: RamPlus) -> None:
    from timm.models.swin_transformer import checkpoint_filter_fn

    prefix = "visual_encoder."
    state = {
        name.removeprefix(prefix): tensor
        for name, tensor in ram_plus_state().items()
        if name.startswith(prefix)
    }
    moved = checkpoint_filter_fn(state, network.visual_encoder)
    own = network.visual_encoder.state_dict()
    assert own.keys() == moved.keys()
    assert all(torch.equal(own[name], moved[name]) for name in own)


def test_the_backbone_is_timms_own() -> None:
    import timm

    with torch.device("meta"):
        theirs = timm.create_model("swin_large_patch4_window12_384", num_classes=0)
        ours = RamPlus().visual_encoder
    assert str(ours) == str(theirs)


def by_hand(state: dict[str, Tensor], patches: Tensor) -> Tensor:
    """One image's patches (n × dim) -> logits, in float64, class by class and head by head, as the
    authors describe it; the names are those of the file."""
    at = {name: tensor.double() for name, tensor in state.items() if tensor.is_floating_point()}

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ at[f"{name}.weight"].T + at[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean()
        scaled = centred / (centred.square().mean() + 1e-12).sqrt()
        return scaled * at[f"{name}.weight"] + at[f"{name}.bias"]

    patches = patches.double()
    tokens = linear(torch.cat([patches.mean(0, keepdim=True), patches]), "image_proj")
    whole = tokens[0] / tokens[0].square().sum().sqrt()
    logits = []
    for number in range(TINY.classes):
        texts = at["label_embed"][number * TINY.descriptions : (number + 1) * TINY.descriptions]
        fit = (at["reweight_scale"].exp() * texts @ whole).exp()
        described = sum(share * text for share, text in zip(fit / fit.sum(), texts, strict=True))
        x = linear(described, "wordvec_proj").clamp(min=0)
        for layer in range(TINY.layers):
            block = f"tagging_head.encoder.layer.{layer}"
            look = f"{block}.crossattention.self"
            query, keys = linear(x, f"{look}.query"), linear(tokens, f"{look}.key")
            values, size = linear(tokens, f"{look}.value"), TINY.width // TINY.heads
            heads = []
            for head in range(TINY.heads):
                part = slice(head * size, (head + 1) * size)
                weights = torch.softmax(keys[:, part] @ query[part] / math.sqrt(size), dim=0)
                heads.append(weights @ values[:, part])
            found = linear(torch.cat(heads), f"{block}.crossattention.output.dense")
            x = norm(found + x, f"{block}.crossattention.output.LayerNorm")
            inner = linear(x, f"{block}.intermediate.dense")
            inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
            x = norm(linear(inner, f"{block}.output.dense") + x, f"{block}.output.LayerNorm")
        logits.append(linear(x, "fc")[0])
    return torch.stack(logits)


def test_logits_are_those_of_a_plain_computation(network: RamPlus) -> None:
    images = batch_of(photos(3))
    with torch.no_grad():
        patches = network.visual_encoder.forward_features(images)
        found = network(images)
    assert patches.shape == (3, 8, 8, TINY.image_dim)
    expected = torch.stack([by_hand(ram_plus_state(), one.flatten(0, 1)) for one in patches])
    assert (found.shape, found.dtype) == ((3, TINY.classes), torch.float32)
    torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=1e-4)
    assert expected.std(1).min() > 0.05  # or the comparison would mean little
    assert (expected[0] - expected[1]).abs().max() > 0.01


@settings(max_examples=12, deadline=None)
@given(chunk=st.integers(1, 30), count=st.integers(1, 3))
def test_chunks_do_not_matter(network: RamPlus, chunk: int, count: int) -> None:
    images = batch_of(photos(count, seed=count))
    with torch.no_grad():
        torch.testing.assert_close(network(images, chunk), network(images), atol=1e-6, rtol=1e-5)


def test_it_works_in_bfloat16(file: Path, network: RamPlus) -> None:
    images = batch_of(photos(2))
    half = load_ram_plus(file, TINY).to(torch.bfloat16)
    with torch.no_grad():
        found, exact = half(images), network(images)
    assert found.dtype == torch.float32
    assert (found.sigmoid() - exact.sigmoid()).abs().max() < 0.1


def test_images_of_another_size_are_refused(network: RamPlus) -> None:
    with pytest.raises(ValueError, match=r"3 × 64 × 64 are needed, got \(1, 3, 64, 32\)"):
        network(torch.zeros(1, 3, 64, 32))


def test_loading_leaves_the_random_numbers_alone(file: Path) -> None:
    before = torch.random.get_rng_state()
    loaded = load_ram_plus(file, TINY)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training


class TestOtherFiles:
    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda state: state.pop("fc.bias"), "lacks 'fc.bias'"),
            (
                lambda state: state.update({"text_decoder.w": torch.zeros(1)}),
                "'text_decoder.w', wh",
            ),
            (lambda state: state.update({"fc.attn_mask": torch.zeros(1)}), "'fc.attn_mask', which"),
            (
                lambda state: state.update(label_embed=torch.zeros(11, 10)),  # of RAM, not RAM++
                r"'label_embed' is \(11, 10\), not \(33, 10\)",
            ),
            (lambda state: state.update(reweight_scale="none"), "lacks 'reweight_scale'"),
        ],
    )
    def test_another_network_is_refused(self, tmp_path: Path, change: Any, why: str) -> None:
        state = ram_plus_state()
        change(state)
        torch.save({"model": state}, tmp_path / "other.pth")
        with pytest.raises(MachineError, match=why):
            load_ram_plus(tmp_path / "other.pth", TINY)

    def test_the_heads_older_name_is_known(self, tmp_path: Path, network: RamPlus) -> None:
        """[recognize-anything, ram/models/utils.py]"""
        older = {n.replace("tagging_head", "vision_multi"): t for n, t in ram_plus_state().items()}
        torch.save({"model": older}, tmp_path / "older.pth")
        again = load_ram_plus(tmp_path / "older.pth", TINY).state_dict()
        assert all(torch.equal(tensor, again[n]) for n, tensor in network.state_dict().items())

    def test_what_is_no_checkpoint_is_refused(self, tmp_path: Path) -> None:
        for content in ({"state": {}}, [1]):
            torch.save(content, tmp_path / "x.pth")
            with pytest.raises(MachineError, match="no entry 'model'"):
                load_ram_plus(tmp_path / "x.pth", TINY)
        with pytest.raises(MachineError, match="no such model file"):
            load_ram_plus(tmp_path / "missing.pth", TINY)
        write_evil(tmp_path / "evil.pth", tmp_path / "victim", zipped=True)
        with pytest.raises(MachineError, match="carries code"):
            load_ram_plus(tmp_path / "evil.pth", TINY)
        assert not (tmp_path / "victim").exists()


class TestTagger:
    def labels(self, *thresholds: float) -> Labels:
        return Labels(NAMES, thresholds or (0.5,) * TINY.classes)

    def test_a_tag_is_what_is_above_its_own_threshold(self, network: RamPlus) -> None:
        images = photos(3)
        scores = network(batch_of(images)).sigmoid().double()
        own = [float(value) for value in scores[0]]
        # Exactly at the threshold is not above it: `>`, as the authors have it.
        thresholds = [value if index % 2 else value - 1e-3 for index, value in enumerate(own)]
        tags = RamPlusTagger(network, self.labels(*thresholds)).tag(images)[0]
        assert {tag.name for tag in tags} == set(NAMES[::2])
        assert [tag.score for tag in tags] == sorted((tag.score for tag in tags), reverse=True)
        assert dict((tag.name, tag.score) for tag in tags) == {
            name: pytest.approx(own[index]) for index, name in enumerate(NAMES) if not index % 2
        }

    @pytest.mark.parametrize("batch", [1, 2, 5])
    def test_batches(self, network: RamPlus, batch: int) -> None:
        images = photos(5)
        found = RamPlusTagger(network, self.labels(), batch=batch).scores(images)
        with torch.no_grad():
            expected = network(batch_of(images)).sigmoid()
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
        assert RamPlusTagger(network, self.labels(), batch=batch).tag([]) == []

    def test_one_threshold_for_all(self, network: RamPlus) -> None:
        images = photos(2)
        every = RamPlusTagger(network, self.labels(*(1.0,) * 11), min_score=0.0).tag(images)
        assert [len(tags) for tags in every] == [11, 11]
        assert (
            RamPlusTagger(network, self.labels(*(0.0,) * 11), min_score=1.0).tag(images) == [[]] * 2
        )

    def test_a_name_that_two_classes_share_is_given_once(self, network: RamPlus) -> None:
        twice = Labels((*NAMES[:-1], NAMES[0]), (0.0,) * 11)
        (tags,) = RamPlusTagger(network, twice).tag(photos(1))
        assert sorted(tag.name for tag in tags) == sorted(NAMES[:-1])
        scores = network(batch_of(photos(1))).sigmoid()[0]
        (shared,) = [tag.score for tag in tags if tag.name == NAMES[0]]
        assert shared == pytest.approx(float(max(scores[0], scores[-1])))


def test_an_image_is_squeezed_and_normalised() -> None:
    image = np.zeros((40, 20, 3), np.uint8)
    image[:, :, 0] = 255
    found = prepare(image, 8)
    assert found.shape == (3, 8, 8)
    expected = torch.tensor([(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    torch.testing.assert_close(found, expected[:, None, None].expand(3, 8, 8))
    half = np.zeros((40, 20, 3), np.uint8)
    half[20:] = 255  # all of it is looked at: nothing is cut off
    rows = prepare(half, 8)[0].mean(1)
    assert rows[0] == rows[2] < rows[5] == rows[7]


class TestLists:
    def test_they_are_read(self, tmp_path: Path) -> None:
        write_lists(tmp_path, {"dog": 0.9})
        labels = read_labels(tmp_path / TAG_LIST, tmp_path / THRESHOLDS, 11)
        assert labels.names == NAMES
        assert labels.thresholds == (0.65, 0.65, 0.65, 0.9, *(0.65,) * 7)

    @pytest.mark.parametrize(
        ("file", "content", "why"),
        [
            (TAG_LIST, "a\nb\n", "2 lines with text, not 11"),
            (TAG_LIST, "a\n" * 10 + "\n", "10 lines with text, not 11"),
            (TAG_LIST, b"\xff\xfe" + b"a\n" * 11, "no text in UTF-8"),
            (THRESHOLDS, "0.5\n" * 10 + "1.5\n", "Line 11 is '1.5'"),
            (THRESHOLDS, "0.5\n" * 10 + "nan\n", "Line 11 is 'nan'"),
            (THRESHOLDS, "high\n" * 11, "Line 1 is 'high'"),
        ],
    )
    def test_other_lists_are_refused(
        self, tmp_path: Path, file: str, content: str | bytes, why: str
    ) -> None:
        write_lists(tmp_path)
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / file).write_bytes(data)
        with pytest.raises(MachineError, match=why):
            read_labels(tmp_path / TAG_LIST, tmp_path / THRESHOLDS, 11)
