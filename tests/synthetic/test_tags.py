"""CLIP's words, the prompt's words, and the step that writes either or RAM++'s."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from tiny_tagger import place_weights
from tiny_weights.clip_b32 import IMAGE_PX, write_clip
from tiny_weights.ram_plus import NAMES, TINY
from tiny_weights.yolov8_face import write_evil

from inscene import images
from inscene.dataset.sources import image_input
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.engine.rows import Keep, Row
from inscene.engine.step import StepContext
from inscene.errors import InsceneError, MachineError, RecipeError, UsageError
from inscene.recipe import load_recipe
from inscene.synthetic.jobs import plan_from_grammar
from inscene.synthetic.prompts.grammar import Grammar
from inscene.synthetic.prompts.packs import load_packs, load_words
from inscene.synthetic.steps.tag import TagScenes
from inscene.synthetic.tags import Tag, best_first
from inscene.synthetic.tags.clip_zero_shot import (
    ClipTagger,
    Vocabulary,
    load_vocabulary,
    prepare,
)
from inscene.synthetic.tags.ram_plus import load_ram_plus
from inscene.synthetic.tags.ram_plus_tagger import RamPlusTagger, read_labels
from inscene.synthetic.tags.settings import RAM_PLUS, RAM_PLUS_TAGS, TAG_LIST, THRESHOLDS
from inscene.synthetic.tags.slots import words_of

WORDS = Vocabulary(
    template="a photo of a person, {}",
    neutral="a photo of a person",
    words={"a": ("tree", "bench"), "b": ("sea", "fog", "red boat")},
)


def photos(count: int) -> list[np.ndarray]:
    small = np.random.default_rng(5).integers(0, 256, (count, 5, 4, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(one).resize((60, 48))) for one in small]


def test_best_first_keeps_the_best_of_a_name() -> None:
    tags = [Tag("b", 0.5), Tag("a", 0.5), Tag("c", 0.9), Tag("a", 0.7)]
    assert best_first(tags) == [Tag("c", 0.9), Tag("a", 0.7), Tag("b", 0.5)]
    assert best_first([Tag("b", 1.0), Tag("a", 1.0)]) == [Tag("b", 1.0), Tag("a", 1.0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder)
    return folder


@pytest.fixture(scope="module")
def scores(folder: Path) -> torch.Tensor:
    return ClipTagger(folder, WORDS).scores(photos(4))


class TestClip:
    def test_scores_are_the_models_own_softmax_of_two(
        self, folder: Path, scores: torch.Tensor
    ) -> None:
        from transformers import CLIPModel, CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
        pixels = torch.stack([prepare(image, IMAGE_PX) for image in photos(4)])
        model = CLIPModel.from_pretrained(str(folder), local_files_only=True).eval()
        for index, word in enumerate(WORDS.names):
            texts = [f"a photo of a person, {word}", "a photo of a person"]
            tokens = tokenizer(texts, padding=True, return_tensors="pt")
            with torch.no_grad():
                logits = model(pixel_values=pixels, **tokens).logits_per_image
            expected = logits.softmax(-1)[:, 0]
            torch.testing.assert_close(scores[:, index], expected, atol=1e-4, rtol=1e-3)
        assert scores.std(0).max() > 0.05  # images differ, or the comparison would mean little
        assert scores.std(1).max() > 0.05

    def test_other_words_do_not_matter(self, folder: Path, scores: torch.Tensor) -> None:
        alone = Vocabulary(template=WORDS.template, neutral=WORDS.neutral, words={"x": ("fog",)})
        found = ClipTagger(folder, alone).scores(photos(4))
        torch.testing.assert_close(found[:, 0], scores[:, 3], atol=1e-5, rtol=1e-4)

    def test_tags(self, folder: Path, scores: torch.Tensor) -> None:
        middle = float(scores.median())
        one_by_one = ClipTagger(folder, WORDS, min_score=middle).tag(photos(4))
        for tags, row in zip(one_by_one, scores.tolist(), strict=True):
            wanted = {name for name, score in zip(WORDS.names, row, strict=True) if score >= middle}
            assert {tag.name for tag in tags} == wanted
            assert [tag.score for tag in tags] == sorted((t.score for t in tags), reverse=True)
        assert any(one_by_one)
        batched = ClipTagger(folder, WORDS, min_score=middle, batch=3).tag(photos(4))
        assert [[t.name for t in tags] for tags in batched] == [
            [t.name for t in tags] for tags in one_by_one
        ]
        (few,) = ClipTagger(folder, WORDS, min_score=0, most=2).tag(photos(1))
        (every,) = ClipTagger(folder, WORDS, min_score=0).tag(photos(1))
        assert (len(every), few) == (5, every[:2])

    def test_an_image_is_cut_as_openai_cuts_it(self) -> None:
        transforms = pytest.importorskip("torchvision.transforms")
        for size in ((60, 48), (48, 61), (33, 97), (20, 20)):
            image = Image.fromarray(photos(1)[0]).resize(size)
            cut = transforms.Compose(
                [transforms.Resize(32, Image.Resampling.BICUBIC), transforms.CenterCrop(32)]
            )(image)
            found = prepare(np.asarray(image), 32)
            std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
            mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
            pixels = (found * std + mean) * 255
            expected = torch.from_numpy(np.array(cut)).permute(2, 0, 1).float()
            # The middle of an odd rest is half a pixel to one side or the other.
            odd = (max(size) * 32 // min(size) - 32) % 2
            if not odd:
                torch.testing.assert_close(pixels, expected, atol=0.01, rtol=0)
            assert pixels.shape == (3, 32, 32)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda state: state.pop("visual_projection.weight"), "visual_projection"),
            (lambda state: state.update(more=torch.zeros(1)), "more"),
            (
                lambda state: state.update({"text_projection.weight": torch.zeros(8, 17)}),
                "text_projection|size mismatch|mismatch",
            ),
        ],
    )
    def test_another_model_is_refused(self, tmp_path: Path, change: Any, why: str) -> None:
        write_clip(tmp_path)
        state = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
        change(state)
        torch.save(state, tmp_path / "pytorch_model.bin")
        with pytest.raises(MachineError, match=why):
            ClipTagger(tmp_path, WORDS)

    def test_nothing_is_run_or_fetched(self, tmp_path: Path) -> None:
        write_clip(tmp_path)
        (tmp_path / "vocab.json").unlink()
        with pytest.raises(MachineError, match="tokenizer cannot be loaded"):
            ClipTagger(tmp_path, WORDS)
        write_evil(tmp_path / "pytorch_model.bin", tmp_path / "victim", zipped=True)
        with pytest.raises(MachineError, match="carries code"):
            ClipTagger(tmp_path, WORDS)
        assert not (tmp_path / "victim").exists()


class TestVocabulary:
    def test_the_shipped_one(self) -> None:
        words = load_vocabulary().names
        assert len(words) >= 150
        assert len({word.lower() for word in words}) == len(words)

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ("{template: 'a {}', neutral: a, words: {x: [a, a]}}", "'a' is there twice"),
            ("{template: a, neutral: a, words: {x: [a]}}", "template"),
            ("{template: 'a {}', neutral: a, words: {}}", "words"),
            ("{template: 'a {}', neutral: a, words: {x: [a]}, more: 1}", "more"),
        ],
    )
    def test_mistakes(self, tmp_path: Path, content: str, why: str) -> None:
        (tmp_path / "words.yaml").write_text(content)
        with pytest.raises(RecipeError, match=why) as caught:
            load_vocabulary(tmp_path / "words.yaml")
        assert caught.value.where == str(tmp_path / "words.yaml")

    def test_none(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such file"):
            load_vocabulary(tmp_path / "words.yaml")


class TestSlots:
    def test_things_are_told_apart(self) -> None:
        slots = {
            "subject": "woman",
            "pack": "market-street",
            "place": "at the window of a garden room",
            "clothing": "long cardigan in oatmeal over a black top and dark trousers",
            "footing": "wool slippers on an oak floor",
            "objects": "framed prints in a neat grid; velvet sofa with patterned cushions",
            "atmosphere": "in soft daylight from large windows",
            "surface": "ridges of the bark",
            "gaze": "facing the camera with a calm look",
            "camera": "from the front at eye level",
            "grammar": "1-abc",
        }
        assert words_of(json.dumps(slots)) == [
            "woman", "market street", "window of a garden room", "long cardigan", "black top",
            "dark trousers", "wool slippers", "framed prints", "velvet sofa", "soft daylight",
            "ridges of the bark",
        ]  # fmt: skip

    @pytest.mark.parametrize("slots", [None, "", "{}", "[]", '{"gaze": "x"}'])
    def test_without_words_of_things(self, slots: str | None) -> None:
        assert words_of(slots) is None

    def test_every_word_of_the_shipped_packs(self, tmp_path: Path) -> None:
        (tmp_path / "p" / "1").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "p" / "1" / "a.png")
        grammar = Grammar(load_packs(), load_words())
        plan = plan_from_grammar(tmp_path / "p", grammar, seed=1, per_reference=40)
        for job in plan.jobs:
            tags = words_of(json.dumps({**job.slots, "pack": job.pack}))
            assert tags is not None
            assert len(tags) >= 8
            for tag in tags[2:]:
                assert tag in job.prompt, tag  # as it was asked for, without articles
                assert tag == tag.strip()
                assert not tag.startswith(("a ", "an ", "the ", "in ", "on ", "with ", "beside "))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    pytest.importorskip("timm")
    with pytest.MonkeyPatch.context() as patch:
        yield place_weights(tmp_path_factory.mktemp("place"), patch)


class TestStep:
    def run(self, folder: Path, step: dict[str, Any]) -> list[dict[str, Any]]:
        """Four photos through a recipe with the tiny step; the finished rows, sorted."""
        pictures = folder / "photos"
        pictures.mkdir()
        for index, photo in enumerate(photos(4)):
            Image.fromarray(photo).save(pictures / f"{index}.png")
        recipe = {
            "name": "tagged",
            "makes": "scenes",
            "shard_rows": 2,
            "steps": ["decode", {"tiny_tagger:TinyTag": step}],
        }
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        loaded, source = load_recipe(str(folder / "recipe.yaml"), [])
        inputs = [image_input(str(index), "train", pictures / f"{index}.png") for index in range(4)]
        engine.run(engine.plan_inputs(build(loaded, source), inputs, str(folder / "out")))
        rows: list[dict[str, Any]] = pq.read_table(folder / "out" / "data").to_pylist()
        return sorted(rows, key=lambda row: row["sample_id"])

    def test_ram_plus_in_a_run(self, weights: Path, tmp_path: Path) -> None:
        rows = self.run(tmp_path, {"device": "cpu"})
        lists = [weights / RAM_PLUS_TAGS / name for name in (TAG_LIST, THRESHOLDS)]
        network = load_ram_plus(weights / RAM_PLUS[0] / RAM_PLUS[1], TINY)
        tagger = RamPlusTagger(network, read_labels(lists[0], lists[1], TINY.classes))
        scenes = [images.decode(row["image"]["bytes"]).pixels for row in rows]
        expected = [[tag.name for tag in tags] for tags in tagger.tag(scenes)]
        assert [row["tags"] for row in rows] == expected
        assert all({"bench", "fog"} <= set(row["tags"]) <= set(NAMES) for row in rows)

    def test_clip_in_a_run(self, weights: Path, tmp_path: Path) -> None:
        rows = self.run(tmp_path, {"device": "cpu", "tagger": "clip", "min_score": 0.6})
        assert len(rows) == 4
        assert all(0 < len(row["tags"]) <= 20 for row in rows)
        assert {tag for row in rows for tag in row["tags"]} <= set(load_vocabulary().names)

    def test_slots_in_a_run(self, tmp_path: Path) -> None:
        rows = self.run(tmp_path, {"tagger": "slots"})
        assert [row["tags"] for row in rows] == [None] * 4  # photos have no prompt

    def test_slots_of_a_row(self) -> None:
        rows = [
            Row(str(index), {"slots": slots})
            for index, slots in enumerate(['{"objects": "red boat; fog"}', "{}"])
        ]
        found = TagScenes("slots").setup(StepContext(0))(rows)
        assert all(isinstance(outcome, Keep) for outcome in found)
        assert [row.columns["tags"] for row in rows] == [["red boat", "fog"], None]

    def test_the_fingerprint_knows_all_that_decides(self, weights: Path, tmp_path: Path) -> None:
        steps = [
            TagScenes(),
            TagScenes(min_score=0.5),
            TagScenes(dtype="bfloat16"),
            TagScenes("clip"),
            TagScenes("clip", min_score=0.5),
            TagScenes("slots"),
        ]
        facts = [json.dumps(step.fingerprint(), sort_keys=True) for step in steps]
        assert len(set(facts)) == len(facts)
        # Where it runs is no part of it, and the default threshold is written out.
        assert TagScenes(device="cpu").fingerprint() == TagScenes().fingerprint()
        assert TagScenes("clip", min_score=0.9).fingerprint() == TagScenes("clip").fingerprint()
        own = tmp_path / "words.yaml"
        before = json.dumps(TagScenes("clip").fingerprint())
        own.write_text("{template: 'a {}', neutral: a, words: {x: [tree]}}")
        assert json.dumps(TagScenes("clip", vocabulary=str(own)).fingerprint()) != before
        lists = weights / RAM_PLUS_TAGS / TAG_LIST
        assert len(TagScenes().fingerprint()["lists"][TAG_LIST]) == 64
        assert lists.exists()

    def test_where_it_works(self) -> None:
        assert TagScenes().on_gpu
        assert not TagScenes(device="cpu").on_gpu
        assert not TagScenes("slots").on_gpu
        assert TagScenes().weights == ("ram-plus", "ram-plus-tags")
        assert TagScenes("slots").weights == ()

    @pytest.mark.parametrize(
        ("step", "why"),
        [
            ({"vocabulary": "x.yaml"}, "ram_plus has no vocabulary"),
            ({"tagger": "slots", "min_score": 0.5}, "slots has no scores"),
            ({"tagger": "clip", "dtype": "bfloat16"}, "clip has no dtype"),
            ({"tagger": "ram"}, "tagger"),
            ({"min_score": 2}, "min_score"),
        ],
    )
    def test_mistakes(self, tmp_path: Path, step: dict[str, Any], why: str) -> None:
        recipe = {"name": "x", "makes": "scenes", "steps": [{"tag": step}]}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        with pytest.raises(InsceneError, match=why):
            build(*load_recipe(str(tmp_path / "recipe.yaml"), []))

    def test_missing_weights_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path))
        for step, name in ((TagScenes(), "ram-plus"), (TagScenes("clip"), "clip-vit-b32")):
            with pytest.raises(MachineError, match=f"weights pull {name}"):
                step.fingerprint()
