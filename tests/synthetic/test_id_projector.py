"""The identity projector: the official file's tensors, and a plain computation of what they do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_weights.infusenet import write_projector
from tiny_weights.yolov8_face import write_evil
from torch import Tensor
from torch.nn import functional as F

from inscene.errors import MachineError
from inscene.synthetic.generate.id_projector import IdProjector, load_projector
from inscene.synthetic.generate.identity import OFFICIAL, ProjectorConfig

TINY = ProjectorConfig(face_dim=12, width=20, tokens=3, token_dim=16, layers=2, heads=2, head_dim=6)
DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def tiny() -> IdProjector:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        projector = IdProjector(TINY)
        for name, parameter in projector.named_parameters():
            # Norms would begin with 1 and 0; and the vector must show in the tokens.
            is_norm = "norm" in name or ".1.0." in name
            torch.nn.init.normal_(parameter, mean=0.5 if is_norm else 0, std=0.4)
    return projector.eval()


def vectors(count: int, dim: int = TINY.face_dim) -> Tensor:
    noise = torch.randn(count, dim, generator=torch.Generator().manual_seed(count))
    return F.normalize(noise, dim=1)


def by_hand(state: dict[str, Tensor], vector: Tensor, config: ProjectorConfig) -> Tensor:
    """One vector in float64, head by head and token by token, as the Perceiver resampler is
    described; the names are those of the file."""
    at = {name: tensor.double() for name, tensor in state.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * at[f"{name}.weight"] + at[f"{name}.bias"]

    face = at["proj_in.weight"] @ vector.double() + at["proj_in.bias"]
    tokens = at["latents"][0]
    for layer in range(config.layers):
        name = f"layers.{layer}"
        looked_at = torch.cat(
            [norm(face[None], f"{name}.0.norm1"), norm(tokens, f"{name}.0.norm2")]
        )
        queries = norm(tokens, f"{name}.0.norm2") @ at[f"{name}.0.to_q.weight"].T
        both = looked_at @ at[f"{name}.0.to_kv.weight"].T
        keys, values = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
        rows = []
        for query in queries:
            heads = []
            for head in range(config.heads):
                part = slice(head * config.head_dim, (head + 1) * config.head_dim)
                weights = torch.softmax(
                    keys[:, part] @ query[part] / math.sqrt(config.head_dim), dim=0
                )
                heads.append(weights @ values[:, part])
            rows.append(torch.cat(heads))
        tokens = tokens + torch.stack(rows) @ at[f"{name}.0.to_out.weight"].T
        inner = norm(tokens, f"{name}.1.0") @ at[f"{name}.1.1.weight"].T
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        tokens = tokens + inner @ at[f"{name}.1.3.weight"].T
    return norm(tokens @ at["proj_out.weight"].T + at["proj_out.bias"], "norm_out")


def test_tokens_are_those_of_a_plain_computation(tiny: IdProjector) -> None:
    faces = vectors(3)
    with torch.no_grad():
        found = tiny(faces)
    expected = torch.stack([by_hand(tiny.state_dict(), face, TINY) for face in faces])
    assert found.shape == (3, 3, 16)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-4)
    assert (expected[0] - expected[1]).abs().mean() > 0.02  # or the comparison would mean little


def test_it_works_in_bfloat16(tiny: IdProjector) -> None:
    faces = vectors(2)
    exact = tiny(faces)
    half = IdProjector(TINY)
    half.load_state_dict(tiny.state_dict())
    found = half.to(torch.bfloat16)(faces)
    assert found.dtype == torch.bfloat16
    assert (found.float() - exact).abs().max() < 0.1


def test_vectors_of_another_recogniser_are_refused(tiny: IdProjector) -> None:
    with pytest.raises(ValueError, match=r"12 numbers are needed, got \(2, 16\)"):
        tiny(vectors(2, 16))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("projector") / "image_proj_model.bin"
    write_projector(path)
    return path


@pytest.fixture(scope="module")
def state(file: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(file, weights_only=True)["image_proj"]
    return state


class TestOfficialFile:
    def test_tensors_are_those_of_the_published_file(self) -> None:
        with torch.device("meta"):
            found = {name: tuple(t.shape) for name, t in IdProjector().state_dict().items()}
        lines = (DATA / "image_proj_model.txt").read_text().splitlines()
        official = dict(line.split() for line in lines)
        assert {name: "x".join(map(str, shape)) for name, shape in found.items()} == official
        assert len(official) == 51
        assert sum(math.prod(shape) for shape in found.values()) == 84_595_968

    def test_a_file_of_full_size_gives_what_its_tensors_say(
        self, file: Path, state: dict[str, Tensor]
    ) -> None:
        projector = load_projector(file)
        faces = vectors(2, 512)
        found = projector(faces)
        assert (found.shape, found.dtype) == ((2, 8, 4096), torch.float32)
        assert not found.requires_grad
        # The file's tensors are views of small storages; the network has its own.
        torch.testing.assert_close(
            found[1].double(), by_hand(projector.state_dict(), faces[1], OFFICIAL), atol=1e-4,
            rtol=1e-3,
        )  # fmt: skip
        assert torch.equal(projector.state_dict()["latents"], state["latents"])
        assert (found[0] - found[1]).abs().mean() > 0.05

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda state: state.pop("layers.3.1.3.weight"), "lacks 'layers.3.1.3.weight'"),
            (lambda state: state.update(more=torch.zeros(1)), "'more', which is no part"),
            (
                lambda state: state.update(latents=torch.zeros(1, 16, 1280)),
                r"'latents' is \(1, 16, 1280\), not \(1, 8, 1280\)",
            ),
            (lambda state: state.update(latents="none"), "lacks 'latents'"),
        ],
    )
    def test_another_projector_is_refused(
        self, state: dict[str, Tensor], tmp_path: Path, change: Any, why: str
    ) -> None:
        changed = dict(state)
        change(changed)
        torch.save({"image_proj": changed}, tmp_path / "other.bin")
        with pytest.raises(MachineError, match=why):
            load_projector(tmp_path / "other.bin")


def test_what_is_no_projector_is_refused(tmp_path: Path) -> None:
    torch.save({"ip_adapter": {}}, tmp_path / "adapter.bin")
    with pytest.raises(MachineError, match="no entry 'image_proj'"):
        load_projector(tmp_path / "adapter.bin")
    torch.save([1, 2], tmp_path / "list.bin")
    with pytest.raises(MachineError, match="no entry 'image_proj'"):
        load_projector(tmp_path / "list.bin")
    with pytest.raises(MachineError, match="no such model file"):
        load_projector(tmp_path / "missing.bin")
    write_evil(tmp_path / "evil.bin", tmp_path / "victim", zipped=True)
    with pytest.raises(MachineError, match="carries code"):
        load_projector(tmp_path / "evil.bin")
    assert not (tmp_path / "victim").exists()
