"""Where the models lie when, what it changes (nothing, but for quant), and what runs out."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback.pulled import pulled
from tiny_weights.infusenet import reference
from torch import nn

from inscene.errors import MachineError
from inscene.synthetic.generate import flux, memory
from inscene.synthetic.generate.flux import FluxGenerator
from inscene.synthetic.generate.id_tokens import IdTokens
from inscene.synthetic.generate.memory import (
    Offload,
    Resident,
    TwoPhase,
    find_device,
    is_out_of_memory,
    out_of_memory_explained,
)
from inscene.synthetic.generate.quantise import EightBitLinear, quantise, quantised
from inscene.synthetic.generate.request import Request
from inscene.synthetic.generate.settings import FluxSettings, MemoryMode, Quantisation

for _package in ("insightface", "onnxruntime", "onnx", "facexlib", "diffusers", "peft"):
    pytest.importorskip(_package, reason="extra: generate")

SETTINGS = FluxSettings(steps=2, dtype="float32")
ANNA = Request("full-body photography of a woman in a forest", reference(1), 11, 64, 64)
BERT = Request("a man at a quiet harbour", reference(2), 12, 64, 64)


@pytest.fixture(scope="module")
def id_tokens(tmp_path_factory: pytest.TempPathFactory, inscene: Any) -> Iterator[IdTokens]:
    folder = tmp_path_factory.mktemp("memory-weights")
    names = ["flux.1-dev", "infiniteyou-sim", "antiblur-lora", "antelopev2", "ir-se-50"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", "hf_of_someone_who_accepted_the_licence")
        with pulled(names, folder, inscene):
            yield IdTokens(cache=folder / "tokens")


def of(
    mode: MemoryMode, id_tokens: IdTokens, given: FluxSettings = SETTINGS, **more: Any
) -> FluxGenerator:
    return FluxGenerator(given, memory=mode, device="cpu", id_tokens=id_tokens, **more)


class TestTwoPhase:
    def test_images_are_those_of_resident_bit_for_bit(self, id_tokens: IdTokens) -> None:
        requests = [ANNA, BERT, replace(ANNA, seed=3, prompt="a person on a street")]
        resident = of("resident", id_tokens).generate(requests)
        two_phase = of("two-phase", id_tokens)
        two_phase.prepare(requests[:1])  # the prompts in other company
        for found, expected in zip(two_phase.generate(requests), resident, strict=True):
            assert np.array_equal(found, expected)

    def test_text_encoders_come_once_a_chunk_and_go(
        self, id_tokens: IdTokens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lent: list[Any] = []
        load = flux.load_text_encoders

        def loading(given: FluxSettings) -> Any:
            pipeline = load(given)
            lent.append(weakref.ref(pipeline.text_encoder_2))
            return pipeline

        monkeypatch.setattr(flux, "load_text_encoders", loading)
        generator = of("two-phase", id_tokens)
        generator.prepare([ANNA, BERT])
        assert len(lent) == 1
        gc.collect()
        assert lent[0]() is None
        for seed in range(3):
            generator.generate([replace(ANNA, seed=seed), replace(BERT, seed=seed)])
        assert len(lent) == 1
        generator.generate([replace(ANNA, prompt="a person on a street")])
        assert len(lent) == 2

    def test_they_take_turns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Never both on the device: recorded by pipelines that are none."""
        log: list[str] = []
        monkeypatch.setattr(memory, "free_memory", lambda device: log.append("free"))

        class Pipeline:
            def __init__(self, name: str) -> None:
                self.name = name

            def to(self, device: Any) -> Pipeline:
                log.append(f"{self.name} to {device}")
                return self

        places = TwoPhase(
            lambda: Pipeline("text"), lambda: Pipeline("sampler"), torch.device("cuda", 0)
        )
        for lend in (places.text_encoders, places.sampler, places.sampler):
            with lend():
                pass
        assert log == ["text to cuda:0", "free", "sampler to cuda:0"]
        log.clear()
        with places.text_encoders():
            pass
        with places.text_encoders():
            pass
        with places.sampler():
            pass
        assert log == [
            "sampler to cpu", "free", "text to cuda:0", "free",
            "text to cuda:0", "free",
            "sampler to cuda:0",
        ]  # fmt: skip
        log.clear()
        with pytest.raises(KeyError), places.text_encoders():
            raise KeyError
        assert log[-1] == "free"


class TestOffload:
    def test_it_needs_an_accelerator(self, id_tokens: IdTokens) -> None:
        with pytest.raises(MachineError, match="'offload' needs an accelerator"):
            of("offload", id_tokens)

    def test_each_pipeline_is_offloaded_once(self) -> None:
        log: list[str] = []

        class Pipeline:
            def enable_model_cpu_offload(self, device: Any) -> None:
                log.append(f"offload to {device}")

            def maybe_free_model_hooks(self) -> None:
                log.append("free")

        places = Offload(Pipeline, Pipeline, torch.device("cuda", 1))
        for lend in (places.text_encoders, places.sampler, places.text_encoders, places.sampler):
            with lend():
                pass
        assert log == ["offload to cuda:1", "free", "offload to cuda:1", "free"]


class TestQuant:
    @pytest.mark.parametrize(("quantisation", "near"), [("int8", 0.5), ("fp8", 2.0)])
    def test_images_are_nearly_the_same(
        self, id_tokens: IdTokens, quantisation: Quantisation, near: float
    ) -> None:
        given = replace(SETTINGS, quantisation=quantisation)
        generator = of("quant", id_tokens, given)
        (found,) = generator.generate([ANNA])
        (exact,) = of("two-phase", id_tokens).generate([ANNA])
        (without_lora,) = of("two-phase", id_tokens, replace(SETTINGS, lora_scale=0)).generate(
            [ANNA]
        )
        difference = np.abs(found.astype(int) - exact).mean()
        assert 0 < difference < near
        # The LoRA is in the weights that were rounded.
        assert np.abs(without_lora.astype(int) - exact).mean() > 2 * near
        with generator._places.sampler() as pipeline:
            for model in (pipeline.transformer, pipeline.controlnet):
                kinds = {type(layer) for layer in model.modules()}
                assert EightBitLinear in kinds
                assert not [kind for kind in kinds if "lora" in kind.__module__]
                assert type(model.x_embedder) is nn.Linear
                blocks = [*model.transformer_blocks, *model.single_transformer_blocks]
                assert all(type(m) is not nn.Linear for block in blocks for m in block.modules())

    @settings(max_examples=30, deadline=None)
    @given(
        st.integers(1, 20),
        st.integers(1, 30),
        st.floats(-6, 3),
        st.sampled_from([torch.float32, torch.bfloat16]),
        st.integers(0, 99),
    )
    def test_no_number_is_off_by_more_than_a_step(
        self, rows: int, columns: int, exponent: float, dtype: torch.dtype, seed: int
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        weight = (torch.randn(rows, columns, generator=generator) * 10**exponent).to(dtype)
        weight[0] = 0
        largest = weight.float().abs().amax(1, keepdim=True)
        numbers, scale = quantised(weight, "int8")
        assert (numbers.dtype, scale.shape, scale.dtype) == (torch.int8, (rows,), dtype)
        off = (numbers.float() * scale.float()[:, None] - weight.float()).abs()
        assert (off <= largest / 127 * 0.501 + largest * 0.004).all()  # bf16 scales: the end clamps
        numbers, scale = quantised(weight, "fp8")
        off = (numbers.float() * scale.float()[:, None] - weight.float()).abs()
        assert (off <= weight.float().abs() / 15 + largest * 0.004).all()

    def test_rows_are_not_off_as_a_whole(self) -> None:
        """The scales themselves are rounded before, so that their errors cancel out in a row."""
        weight = torch.randn(64, 4096, generator=torch.Generator().manual_seed(1)).bfloat16()
        numbers, scale = quantised(weight, "int8")
        restored = numbers.float() * scale.float()[:, None]
        ratio = (restored * weight.float()).sum(1) / weight.float().square().sum(1)
        assert (ratio - 1).abs().max() < 2e-3
        others = numbers.float() * (weight.float().abs().amax(1) / 127)[:, None]
        ratio = (others * weight.float()).sum(1) / weight.float().square().sum(1)
        assert (ratio - 1).abs().max() > 2e-3  # what rounded scales would cost otherwise

    def test_a_layer_can_be_moved_and_keeps_its_bias(self) -> None:
        linear = nn.Linear(12, 5)
        layer = EightBitLinear(linear, "int8")
        x = torch.randn(3, 12)
        torch.testing.assert_close(layer(x), linear(x), atol=0.02, rtol=0.02)
        # float16 ends at 65,504.
        half = EightBitLinear(nn.Linear(4096, 2).half(), "fp8")
        assert half(torch.full((1, 4096), 20.0).half()).isfinite().all()
        assert {buffer.device.type for buffer in layer.to("meta").buffers()} == {"meta"}
        assert EightBitLinear(nn.Linear(4, 4, bias=False), "fp8")(torch.ones(1, 4)).shape == (1, 4)
        assert not list(layer.parameters())

    def test_only_blocks_are_quantised(self) -> None:
        model = nn.Module()
        model.transformer_blocks = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.GELU())])
        model.single_transformer_blocks = nn.ModuleList([nn.Linear(4, 4)])
        model.proj_out = nn.Linear(4, 4)
        quantise(model, "int8")
        assert type(model.proj_out) is nn.Linear
        assert sum(isinstance(layer, EightBitLinear) for layer in model.modules()) == 2


def test_half_precision_works_from_end_to_end(id_tokens: IdTokens) -> None:
    given = replace(SETTINGS, dtype="bfloat16")
    (found,) = of("two-phase", id_tokens, given).generate([ANNA])
    (exact,) = of("two-phase", id_tokens).generate([ANNA])
    assert 0 < np.abs(found.astype(int) - exact).mean() < 25


class TestDevice:
    def test_the_cpu_is_always_there(self) -> None:
        assert find_device("cpu") == torch.device("cpu")

    def test_an_accelerator_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        here: list[torch.device | None] = [None]
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: here[0] is not None)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: here[0])
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
        assert find_device() == torch.device("cpu")
        with pytest.raises(MachineError, match="no device 'cuda' here"):
            find_device("cuda")
        here[0] = torch.device("cuda")
        assert find_device() == torch.device("cuda")
        assert find_device("cuda:1") == torch.device("cuda", 1)
        for wrong in ("cuda:2", "xpu"):
            with pytest.raises(MachineError, match=f"no device '{wrong}' here"):
                find_device(wrong)
        with pytest.raises(MachineError, match="'gpu' is no device"):
            find_device("gpu")


class TestOutOfMemory:
    @pytest.mark.parametrize(
        ("mode", "advice"),
        [
            ("resident", "two-phase, or a smaller batch"),
            ("two-phase", "offload or quant"),
            ("offload", "quant"),
            ("quant", "smaller images"),
        ],
    )
    def test_it_says_what_would_need_less(self, mode: MemoryMode, advice: str) -> None:
        with pytest.raises(MachineError, match=advice) as caught, out_of_memory_explained(mode):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nmore")
        assert f"memory ran out in the mode {mode}" in str(caught.value)
        assert "Tried to allocate 9 GiB" in str(caught.value)
        assert "more" not in str(caught.value).split("GiB.")[1].split("Use")[0]

    def test_other_errors_pass(self) -> None:
        with pytest.raises(RuntimeError, match="shapes"), out_of_memory_explained("resident"):
            raise RuntimeError("shapes do not match")
        assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
        assert is_out_of_memory(MemoryError())
        assert not is_out_of_memory(ValueError("allocate memory"))

    def test_it_is_explained_wherever_it_happens(
        self, id_tokens: IdTokens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        monkeypatch.setattr(flux, "load_sampler", full)
        generator = of("resident", id_tokens)
        with pytest.raises(MachineError, match="memory ran out in the mode resident"):
            generator.generate([ANNA])
        monkeypatch.setattr(flux, "load_text_encoders", full)
        with pytest.raises(MachineError, match="memory ran out in the mode two-phase"):
            of("two-phase", id_tokens).prepare([ANNA])


def test_resident_loads_each_once(tmp_path: Path) -> None:
    loads: list[str] = []

    class Pipeline:
        def to(self, device: Any) -> Pipeline:
            loads.append(str(device))
            return self

    places = Resident(Pipeline, Pipeline, torch.device("cpu"))
    for lend in (places.sampler, places.text_encoders, places.sampler, places.text_encoders):
        with lend():
            pass
    assert loads == ["cpu", "cpu"]
