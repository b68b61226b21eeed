"""FLUX with InfuseNet, tiny, from the pull to the pixels."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from loopback.pulled import pulled
from safetensors.torch import load_file, save_file
from tiny_weights.infusenet import reference
from torch import Tensor

from inscene.errors import MachineError, RecipeError, SampleError
from inscene.recipe import canonical_json
from inscene.synthetic.generate import flux
from inscene.synthetic.generate.control_image import face_layout
from inscene.synthetic.generate.fingerprint import flux_fingerprint
from inscene.synthetic.generate.flux import FluxGenerator
from inscene.synthetic.generate.id_tokens import IdTokens
from inscene.synthetic.generate.identity import IdTokenSettings
from inscene.synthetic.generate.request import Request
from inscene.synthetic.generate.settings import FluxSettings, MemoryMode
from inscene.weights.locate import MissingWeightError, find_file, find_folder

for _package in ("insightface", "onnxruntime", "onnx", "facexlib", "diffusers", "peft"):
    pytest.importorskip(_package, reason="extra: generate")

SETTINGS = FluxSettings(steps=2, dtype="float32")
NAMES = ["flux.1-dev", "infiniteyou-sim", "antiblur-lora", "antelopev2", "ir-se-50"]
ANNA = Request("full-body photography of a woman in a forest", reference(1), 11, 64, 64)
BERT = Request("a man at a quiet harbour", reference(2), 12, 64, 64)


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory, inscene: Any) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("flux-weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", "hf_of_someone_who_accepted_the_licence")
        with pulled(NAMES, folder, inscene):
            yield folder / "weights"


@pytest.fixture(scope="module")
def id_tokens(weights: Path) -> IdTokens:
    return IdTokens(cache=weights.parent / "tokens")


@pytest.fixture(scope="module")
def generator(id_tokens: IdTokens) -> FluxGenerator:
    return FluxGenerator(SETTINGS, memory="resident", device="cpu", id_tokens=id_tokens)


def one(generator: FluxGenerator, request: Request) -> np.ndarray:
    (image,) = generator.generate([request])
    return image.astype(int)


def differ(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


class TestImages:
    def test_they_are_bytes_of_the_wanted_size(self, generator: FluxGenerator) -> None:
        (image,) = generator.generate([replace(ANNA, width=80, height=48)])
        assert (image.shape, image.dtype) == ((48, 80, 3), np.uint8)
        assert image.std() > 10

    def test_the_same_request_gives_the_same_image(
        self, generator: FluxGenerator, id_tokens: IdTokens
    ) -> None:
        first = one(generator, ANNA)
        one(generator, BERT)
        assert np.array_equal(first, one(generator, ANNA))
        another = FluxGenerator(SETTINGS, memory="resident", device="cpu", id_tokens=id_tokens)
        assert np.array_equal(first, one(another, ANNA))

    @pytest.mark.parametrize(
        "change",
        [
            {"seed": 13},
            {"reference": BERT.reference},
            {"prompt": BERT.prompt},
            {"control_image": face_layout(64, 64, face_height_px=40, centre=(0.5, 0.5))},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_each_part_of_a_request_counts(
        self, generator: FluxGenerator, change: dict[str, Any]
    ) -> None:
        assert differ(one(generator, ANNA), one(generator, replace(ANNA, **change))) > 0.3

    def test_a_black_control_image_is_none(self, generator: FluxGenerator) -> None:
        black = np.zeros((64, 64, 3), np.uint8)
        assert np.array_equal(
            one(generator, ANNA), one(generator, replace(ANNA, control_image=black))
        )

    def test_a_batch_is_its_images(
        self, generator: FluxGenerator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(flux, "_as_bytes", lambda image: image)
        layout = face_layout(64, 64, face_height_px=40, centre=(0.5, 0.5))
        requests = [ANNA, replace(BERT, control_image=layout), replace(ANNA, seed=5)]
        together = generator.generate(requests)
        for request, image in zip(requests, together, strict=True):
            (alone,) = generator.generate([request])
            np.testing.assert_allclose(image, alone, atol=1e-5)
        assert differ(together[0], together[1]) > 0.01

    def test_sizes_are_sampled_apart_and_keep_their_order(self, generator: FluxGenerator) -> None:
        wide = replace(BERT, width=80, height=48)
        images = generator.generate([ANNA, wide, BERT])
        for image, request in zip(images, [ANNA, wide, BERT], strict=True):
            assert np.abs(image.astype(int) - one(generator, request)).max() <= 1

    def test_numbers_that_are_no_pixels_are_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(MachineError, match="no pixels"):
            flux._as_bytes(np.full((2, 2, 3), np.nan, np.float32))
        found = flux._as_bytes(np.array([[[0, 0.499 / 255, 1]]], np.float32))
        assert found.tolist() == [[[0, 0, 255]]]


def as_infiniteyou_does(request: Request, identity: Tensor, settings: FluxSettings) -> np.ndarray:
    """The whole of it by hand, as InfiniteYou's pipeline is described, from the pulled files;
    without a LoRA. float, 0..1."""
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        FluxControlNetModel,
        FluxPipeline,
        FluxTransformer2DModel,
    )

    from inscene.quiet import quiet_diffusion

    folder, infiniteyou = find_folder("flux.1-dev"), find_folder("infiniteyou-sim")
    with quiet_diffusion():
        text = FluxPipeline.from_pretrained(str(folder), transformer=None, vae=None)
        transformer = FluxTransformer2DModel.from_pretrained(str(folder / "transformer"))
        infusenet = FluxControlNetModel.from_pretrained(str(infiniteyou / "InfuseNetModel"))
        vae = AutoencoderKL.from_pretrained(str(folder / "vae"))
        schedule = FlowMatchEulerDiscreteScheduler.from_pretrained(str(folder / "scheduler"))
        prompt, pooled, _ = text.encode_prompt(request.prompt, max_sequence_length=512)
    height, width = request.height // 16, request.width // 16
    image_ids = torch.zeros(height, width, 3)
    image_ids[..., 1], image_ids[..., 2] = torch.arange(height)[:, None], torch.arange(width)
    image_ids = image_ids.reshape(-1, 3)

    def packed(latents: Tensor) -> Tensor:
        patches = latents.reshape(1, 16, height, 2, width, 2).permute(0, 2, 4, 1, 3, 5)
        return patches.reshape(1, height * width, 64)

    noise = torch.Generator().manual_seed(request.seed)
    black = -torch.ones(1, 3, request.height, request.width)
    control = vae.encode(black).latent_dist.sample(noise)  # its noise comes first
    control = packed((control - 0.1159) * 0.3611)
    latents = packed(torch.randn(1, 16, 2 * height, 2 * width, generator=noise))
    mu = 0.5 + (1.15 - 0.5) / (4096 - 256) * (height * width - 256)
    sigmas = np.linspace(1, 1 / settings.steps, settings.steps)
    schedule.set_timesteps(sigmas=sigmas, mu=mu)
    for step, t in enumerate(schedule.timesteps):
        of = {
            "hidden_states": latents,
            "timestep": t[None] / 1000,
            "pooled_projections": pooled,
            "img_ids": image_ids,
            "return_dict": False,
        }
        begun, ended = step / settings.steps, (step + 1) / settings.steps
        added: dict[str, Any] = {}
        if begun >= settings.infuse_start and ended <= settings.infuse_end:
            double, single = infusenet(
                controlnet_cond=control,
                conditioning_scale=settings.infuse_scale,
                encoder_hidden_states=identity[None].float(),
                txt_ids=torch.zeros(8, 3),
                guidance=torch.tensor([1.0]),
                **of,
            )
            added = {"controlnet_block_samples": double, "controlnet_single_block_samples": single}
        (velocity,) = transformer(
            encoder_hidden_states=prompt,
            txt_ids=torch.zeros(512, 3),
            guidance=torch.tensor([settings.guidance]),
            **added,
            **of,
        )
        latents = schedule.step(velocity, t, latents, return_dict=False)[0]
    patches = latents.reshape(1, height, width, 16, 2, 2).permute(0, 3, 1, 4, 2, 5)
    latents = patches.reshape(1, 16, 2 * height, 2 * width) / 0.3611 + 0.1159
    decoded: np.ndarray = vae.decode(latents).sample[0].permute(1, 2, 0).numpy()
    return (decoded / 2 + 0.5).clip(0, 1)


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, lora_scale=0),
        replace(SETTINGS, lora_scale=0, steps=4, infuse_start=0.3, infuse_end=0.8, guidance=2.0),
        replace(SETTINGS, lora_scale=0, infuse_scale=0.6),
    ],
)
def test_images_are_those_of_infiniteyous_own_way(
    settings: FluxSettings, id_tokens: IdTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flux, "_as_bytes", lambda image: image)
    generator = FluxGenerator(settings, memory="resident", device="cpu", id_tokens=id_tokens)
    (found,) = generator.generate([ANNA])
    with torch.no_grad():
        expected = as_infiniteyou_does(ANNA, id_tokens.of(ANNA.reference), settings)
    np.testing.assert_allclose(found, expected, atol=2e-5)


class TestIdentity:
    def test_a_scale_of_zero_forgets_who_it_is(self, id_tokens: IdTokens) -> None:
        settings = replace(SETTINGS, infuse_scale=0.0)
        without = FluxGenerator(settings, memory="resident", device="cpu", id_tokens=id_tokens)
        other = replace(ANNA, reference=BERT.reference)
        assert np.array_equal(one(without, ANNA), one(without, other))

    def test_the_calls_guidance_never_reaches_infusenet(
        self, generator: FluxGenerator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from diffusers import FluxControlNetModel

        seen = []
        forward = FluxControlNetModel.forward

        def watching(self: Any, *given: Any, **named: Any) -> Any:
            seen.append((named["guidance"].tolist(), tuple(named["encoder_hidden_states"].shape)))
            return forward(self, *given, **named)

        monkeypatch.setattr(FluxControlNetModel, "forward", watching)
        generator.generate([ANNA, BERT])
        assert seen == [([1.0, 1.0], (2, 8, 4096))] * 2

    def test_a_reference_without_a_face_stops_its_request_only(
        self, generator: FluxGenerator
    ) -> None:
        nobody = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
        bad = replace(ANNA, reference=nobody)
        none, problem, other = generator.prepare([ANNA, bad, replace(ANNA, reference=b"no image")])
        assert none is None
        assert problem is not None
        assert problem.reason == "no_face_in_reference"
        assert other is not None
        assert other.reason == "not_an_image"
        with pytest.raises(SampleError, match="no_face_in_reference"):
            generator.generate([ANNA, bad])
        assert generator.generate([]) == []


class TestLora:
    def test_it_touches_the_transformer_only(self, generator: FluxGenerator) -> None:
        from inscene.synthetic.generate.load import load_sampler, load_text_encoders

        with_it, without = load_sampler(SETTINGS), load_sampler(replace(SETTINGS, lora_scale=0))
        changed = {
            name.partition(".lora_")[0]
            for name, _ in with_it.transformer.named_modules()
            if ".lora_A." in name
        }
        assert changed == {"transformer_blocks.0.ff.net.2", "single_transformer_blocks.1.proj_out"}
        for component in ("controlnet", "vae"):
            mine = getattr(with_it, component).state_dict()
            others = getattr(without, component).state_dict()
            assert mine.keys() == others.keys()
            assert all(torch.equal(mine[name], others[name]) for name in mine)
        encoders = load_text_encoders(SETTINGS)
        for component in (encoders.text_encoder, encoders.text_encoder_2):
            assert not [name for name in component.state_dict() if "lora" in name]

    def test_its_scale_is_what_was_asked_for(
        self, generator: FluxGenerator, id_tokens: IdTokens
    ) -> None:
        """Against weights to which it was added by hand."""
        from inscene.synthetic.generate.load import load_sampler

        lora = load_file(find_file("antiblur-lora"))
        added = load_sampler(replace(SETTINGS, lora_scale=0))
        named = dict(added.transformer.named_parameters())
        for layer in ("transformer_blocks.0.ff.net.2", "single_transformer_blocks.1.proj_out"):
            a, b = (lora[f"transformer.{layer}.lora_{part}.weight"] for part in "AB")
            named[f"{layer}.weight"].data += 3.0 * b @ a
        plain = FluxGenerator(
            replace(SETTINGS, lora_scale=0), memory="resident", device="cpu", id_tokens=id_tokens
        )
        without = one(plain, ANNA)
        plain._places._sampler = added  # type: ignore[attr-defined]
        by_hand = one(plain, ANNA)
        assert np.abs(by_hand - one(generator, ANNA)).max() <= 1
        assert differ(by_hand, without) > 1

    def test_a_high_scale_is_mentioned(self) -> None:
        (note,) = FluxSettings().notes()
        assert "used at 3:" in note
        assert "names 1 to 1.5" in note
        assert replace(SETTINGS, lora_scale=1.5).notes() == []

    def test_one_that_changes_more_is_refused(self, weights: Path) -> None:
        file = weights / "antiblur-lora" / "FLUX-dev-lora-AntiBlur.safetensors"
        tensors = load_file(file)
        other = {"text_encoder.layer.lora_A.weight": torch.zeros(2, 2)}
        for state, why in (
            (tensors | other, "It has 'text_encoder.layer.lora_A.weight'"),
            ({"transformer.x_embedder.weight": torch.zeros(2, 2)}, "."),
        ):
            with changed(file, lambda path, state=state: save_file(state, path)):
                from inscene.synthetic.generate.load import _attach_lora, load_sampler

                pipeline = load_sampler(replace(SETTINGS, lora_scale=0))
                with pytest.raises(MachineError, match=why) as caught:
                    _attach_lora(pipeline, 1.0)
                assert "a LoRA of FLUX's transformer" in str(caught.value)


class changed:
    """Another content in a weight's file, and what the manifest and its pin say of it looked away
    from, for as long as the context lasts."""

    def __init__(self, file: Path, write: Any) -> None:
        self.file, self.write, self.patch = file, write, pytest.MonkeyPatch()

    def __enter__(self) -> None:
        self.copy = self.file.with_name(f"{self.file.name}.copy")
        shutil.copyfile(self.file, self.copy)
        self.write(self.file)
        root = self.file.parents[0 if self.file.parent.name in NAMES else 1]
        load = "inscene.synthetic.generate.load"
        self.patch.setattr(f"{load}.find_file", lambda name, path: root.parent / name / path)
        self.patch.setattr(f"{load}.find_folder", lambda name: root.parent / name)

    def __exit__(self, *_: object) -> None:
        self.patch.undo()
        self.copy.replace(self.file)


def test_weights_that_are_not_whole_are_refused(weights: Path) -> None:
    """diffusers would load what lacks a tensor that its index promises."""
    from inscene.synthetic.generate.load import load_sampler

    shard = "diffusion_pytorch_model-00002-of-00002.safetensors"
    file = weights / "infiniteyou-sim" / "InfuseNetModel" / shard
    tensors = load_file(file)
    tensors.pop(next(name for name in tensors if name.startswith("controlnet_blocks")))
    with changed(file, lambda path: save_file(tensors, path, metadata={"format": "pt"})):
        with pytest.raises(MachineError, match="cannot be loaded") as caught:
            load_sampler(SETTINGS)
        assert "controlnet_blocks" in str(caught.value)
        assert "inscene weights verify" in str(caught.value)
    with (
        changed(file, lambda path: path.write_bytes(path.read_bytes()[:5000])),
        pytest.raises(MachineError, match="cannot be loaded"),
    ):
        load_sampler(SETTINGS)
    load_sampler(SETTINGS)


class TestOnce:
    @pytest.fixture
    def counted(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
        """Prompts that were encoded, and references that were looked at."""
        from diffusers import FluxPipeline

        from inscene.synthetic.generate import id_tokens as module

        calls: dict[str, list[str]] = {"prompts": [], "faces": []}
        encode, compute = FluxPipeline.encode_prompt, module._Models.tokens

        def encoding(self: Any, prompt: str, **named: Any) -> Any:
            calls["prompts"].append(prompt)
            return encode(self, prompt, **named)

        def computing(self: Any, photo: Any) -> Tensor:
            calls["faces"].append(str(photo.shape))
            return compute(self, photo)

        monkeypatch.setattr(FluxPipeline, "encode_prompt", encoding)
        monkeypatch.setattr(module._Models, "tokens", computing)
        return calls

    def test_prompts_and_faces_are_read_once_for_all_tries(
        self, counted: dict[str, list[str]], tmp_path: Path
    ) -> None:
        generator = FluxGenerator(
            SETTINGS, memory="resident", device="cpu", id_tokens=IdTokens(cache=tmp_path)
        )
        other = replace(ANNA, prompt=BERT.prompt)
        assert generator.prepare([ANNA, BERT, other, ANNA]) == [None] * 4
        assert counted == {
            "prompts": [ANNA.prompt, BERT.prompt],
            "faces": ["(320, 320, 3)"] * 2,
        }
        for seed in range(3):
            generator.generate([replace(ANNA, seed=seed), replace(other, seed=seed)])
        generator.generate([BERT])
        assert len(counted["prompts"]) == 2
        assert len(counted["faces"]) == 2

    def test_an_impossible_requests_prompt_is_not_read(
        self, counted: dict[str, list[str]], tmp_path: Path
    ) -> None:
        generator = FluxGenerator(
            SETTINGS, memory="resident", device="cpu", id_tokens=IdTokens(cache=tmp_path)
        )
        (problem,) = generator.prepare([replace(ANNA, reference=b"none")])
        assert problem is not None
        assert counted["prompts"] == []

    def test_the_last_prompts_are_kept(
        self, counted: dict[str, list[str]], id_tokens: IdTokens
    ) -> None:
        generator = FluxGenerator(
            SETTINGS, memory="resident", device="cpu", id_tokens=id_tokens, prompts_kept=2
        )
        requests = [replace(ANNA, prompt=prompt) for prompt in "abc"]
        generator.prepare(requests)  # as many as are needed at once, all the same
        generator.prepare(requests)
        assert counted["prompts"] == ["a", "b", "c"]
        generator.prepare([replace(ANNA, prompt="d")])
        generator.prepare(requests[1:])
        assert counted["prompts"] == ["a", "b", "c", "d", "b"]


def test_diffusers_pipeline_is_used_as_it_is(generator: FluxGenerator) -> None:
    from diffusers import FluxControlNetPipeline

    with generator._places.sampler() as pipeline:
        assert type(pipeline) is FluxControlNetPipeline
        assert pipeline.text_encoder is None
        assert not any(
            parameter.requires_grad
            for model in (pipeline.transformer, pipeline.controlnet, pipeline.vae)
            for parameter in model.parameters()
        )


class TestFingerprint:
    def test_it_has_all_that_decides_the_images(self, generator: FluxGenerator) -> None:
        facts = generator.fingerprint()
        assert json.loads(canonical_json(facts))["version"] == 1
        assert set(facts["weights"]) == {"flux.1-dev", "infiniteyou-sim", "antiblur-lora"}
        assert len(facts["weights"]["flux.1-dev"]) == 23
        assert all(
            len(hash_) == 64 for files in facts["weights"].values() for hash_ in files.values()
        )
        assert set(facts["packages"]) == {"torch", "diffusers", "transformers", "peft"}
        assert facts["settings"]["lora_scale"] == 3.0
        assert facts["identity"] == IdTokenSettings().fingerprint()

    @pytest.mark.parametrize(
        "change",
        [
            {"steps": 3},
            {"guidance": 3.0},
            {"infuse_scale": 0.9},
            {"infuse_start": 0.1},
            {"infuse_end": 0.9},
            {"lora_scale": 1.0},
            {"lora_scale": 0.0},
            {"prompt_tokens": 256},
            {"dtype": "bfloat16"},
        ],
        ids=str,
    )
    def test_each_setting_changes_it(self, change: dict[str, Any]) -> None:
        def of(settings: FluxSettings) -> dict[str, Any]:
            return flux_fingerprint(settings, "two-phase", IdTokenSettings())

        assert of(SETTINGS) != of(replace(SETTINGS, **change))

    def test_of_the_memory_modes_only_quant_does(self) -> None:
        modes: tuple[MemoryMode, ...] = ("resident", "two-phase", "offload", "quant")
        found = [flux_fingerprint(SETTINGS, mode, IdTokenSettings()) for mode in modes]
        assert found[0] == found[1] == found[2] != found[3]
        assert found[3]["settings"]["quantisation"] == "int8"

    def test_without_the_lora_its_file_is_not_needed(
        self, weights: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hidden = weights / "antiblur-lora.hidden"
        (weights / "antiblur-lora").rename(hidden)
        try:
            with pytest.raises(MissingWeightError, match="antiblur-lora"):
                FluxGenerator(SETTINGS, device="cpu")
            FluxGenerator(replace(SETTINGS, lora_scale=0), device="cpu")
        finally:
            hidden.rename(weights / "antiblur-lora")

    def test_no_model_is_loaded_for_it(self) -> None:
        code = (
            "import sys; from inscene.synthetic.generate.fingerprint import flux_fingerprint;"
            "from inscene.synthetic.generate.identity import IdTokenSettings;"
            "from inscene.synthetic.generate.settings import FluxSettings;"
            "flux_fingerprint(FluxSettings(), 'two-phase', IdTokenSettings());"
            "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"guidance": -1.0},
        {"infuse_start": 0.5, "infuse_end": 0.4},
        {"infuse_end": 1.5},
        {"lora_scale": math.inf},
        {"prompt_tokens": 513},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="makes no sense here"):
        FluxSettings(**wrong)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"prompt": " "}, "needs a prompt"),
        ({"seed": -1}, "a seed is"),
        ({"seed": 2**63}, "a seed is"),
        ({"width": 1000}, "multiples of 16 px, got 1000 × 64"),
        ({"height": 0}, "multiples of 16 px"),
        ({"control_image": np.zeros((64, 48, 3), np.uint8)}, r"uint8 \(64, 64, 3\)"),
        ({"control_image": np.zeros((64, 64, 3))}, "got float64"),
    ],
)
def test_requests_that_make_no_sense_are_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        replace(ANNA, **wrong)


def test_defaults_are_those_of_the_paper_and_its_code() -> None:
    settings, request = FluxSettings(), Request("a woman", b"", 1)
    assert (settings.steps, settings.guidance, settings.infuse_scale) == (30, 3.5, 1.0)
    assert (settings.infuse_start, settings.infuse_end, settings.lora_scale) == (0, 1, 3.0)
    assert (settings.dtype, settings.prompt_tokens) == ("bfloat16", 512)
    assert (request.width, request.height, request.control_image) == (1024, 1152, None)
