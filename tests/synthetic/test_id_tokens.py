"""Identity tokens: the same as InfiniteYou's own way from the photo, and computed once."""

from __future__ import annotations

import math
import stat
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from loopback.pulled import pulled
from tiny_weights.infusenet import reference
from torch import Tensor

from inscene.errors import RecipeError, SampleError
from inscene.faces.detectors.choice import DetectorChoice
from inscene.images.decode import decode
from inscene.recipe import content_hash
from inscene.synthetic.generate import id_tokens
from inscene.synthetic.generate.id_projector import load_projector
from inscene.synthetic.generate.id_tokens import IdTokens, first_face, one_by_one
from inscene.synthetic.generate.identity import DETECTOR, IdTokenSettings
from inscene.synthetic.generate.token_cache import TokenCache
from inscene.weights.locate import MissingWeightError, find_file

for _package in ("insightface", "onnxruntime", "onnx", "facexlib", "diffusers"):
    pytest.importorskip(_package, reason="extra: generate")

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory, inscene: Any) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("id-weights")
    with pulled(["antelopev2", "ir-se-50", "infiniteyou-sim"], folder, inscene):
        yield folder


@pytest.fixture
def tokens(tmp_path: Path) -> IdTokens:
    return IdTokens(cache=tmp_path / "cache")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Each photo whose tokens are computed."""
    photos: list[Any] = []
    compute = id_tokens._Models.tokens

    def counting(self: Any, photo: Any) -> Tensor:
        photos.append(photo)
        return compute(self, photo)

    monkeypatch.setattr(id_tokens._Models, "tokens", counting)
    return photos


def as_infiniteyou_does(photo: np.ndarray) -> Tensor:
    """With insightface's detector at one size and its own alignment, facexlib's network, and the
    projector's file."""
    from facexlib.recognition.arcface_arch import Backbone
    from insightface.model_zoo import SCRFD
    from insightface.utils.face_align import norm_crop

    detector = SCRFD(str(find_file("antelopev2", "scrfd_10g_bnkps.onnx")))
    detector.prepare(0, input_size=(640, 640))
    _, points = detector.detect(photo[..., ::-1], input_size=(640, 640))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-image's estimate() is deprecated
        crop = norm_crop(np.ascontiguousarray(photo[..., ::-1]), points[0], image_size=112)
    network = Backbone(50, 0.6, "ir_se").eval()
    network.load_state_dict(torch.load(find_file("ir-se-50"), weights_only=True))
    pixels = torch.from_numpy(crop).permute(2, 0, 1)[None].float().contiguous() / 127.5 - 1
    with torch.no_grad():
        projector = load_projector(find_file("infiniteyou-sim", "image_proj_model.bin"))
        found: Tensor = projector(network(pixels))[0]
    return found


def test_tokens_are_those_of_infiniteyous_own_way(tokens: IdTokens) -> None:
    data = reference(1)
    found = tokens.of(data)
    assert (found.shape, found.dtype, found.device.type) == ((8, 4096), torch.bfloat16, "cpu")
    expected = as_infiniteyou_does(decode(data).pixels)
    difference = (found.float() - expected).abs()
    other = (found.float() - tokens.of(reference(2)).float()).abs()
    assert difference.mean() < 0.03 * other.mean()
    assert difference.max() < 0.1 * other.max()


def test_tokens_say_who_it_is_and_not_where(tokens: IdTokens) -> None:
    here = tokens.of(reference(1)).float()
    elsewhere = tokens.of(reference(1, x=96, y=208)).float()
    someone_else = tokens.of(reference(2)).float()
    assert (here - elsewhere).abs().mean() < 0.2 * (here - someone_else).abs().mean()


def test_nothing_is_computed_twice(
    tokens: IdTokens, computed: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = tokens.of(reference(1))
    assert tokens.of(bytes(reference(1))) is first
    tokens.of(reference(2))
    assert len(computed) == 2
    # A process that comes later opens no model at all.
    monkeypatch.setattr(id_tokens, "_opened", None)
    again = IdTokens(cache=tmp_path / "cache")
    assert torch.equal(again.of(reference(1)), first)
    assert len(computed) == 2


def test_tokens_of_faces_are_for_their_owner_only(tokens: IdTokens, tmp_path: Path) -> None:
    tokens.of(reference(1))
    (file,) = (tmp_path / "cache").rglob("*.safetensors")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert 65_536 < file.stat().st_size < 66_000


def test_a_damaged_file_is_computed_anew(
    tokens: IdTokens, computed: list[Any], tmp_path: Path
) -> None:
    first = tokens.of(reference(1))
    (file,) = (tmp_path / "cache").rglob("*.safetensors")
    whole = file.read_bytes()
    for damaged in (whole[:1000], b"", b"\xff" * 200, whole.replace(b"4096", b"2048")):
        file.write_bytes(damaged)
        assert torch.equal(IdTokens(cache=tmp_path / "cache").of(reference(1)), first)
        assert file.read_bytes() == whole
    assert len(computed) == 5


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path, computed: list[Any]) -> None:
    (tmp_path / "file").write_text("in the way")
    tokens = IdTokens(cache=tmp_path / "file")
    assert tokens.of(reference(1)) is tokens.of(reference(1))
    assert len(computed) == 1


def test_another_detector_or_weight_is_another_key(
    tmp_path: Path, computed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = IdTokenSettings(detector=replace(DETECTOR, min_score=0.4))
    for made in (IdTokenSettings(), settings, IdTokenSettings()):
        IdTokens(made, cache=tmp_path).of(reference(1))
    assert len(computed) == 2
    facts = IdTokenSettings().fingerprint()
    assert set(facts) == {"version", "detector", "embedder", "projector", "sizes"}
    assert content_hash(facts) != content_hash(settings.fingerprint())
    monkeypatch.setattr("inscene.synthetic.generate.identity.hash_of", lambda *place: "0" * 64)
    IdTokens(cache=tmp_path).of(reference(1))
    assert len(computed) == 3


def test_a_photo_without_a_face_is_refused_once(tokens: IdTokens, computed: list[Any]) -> None:
    nobody = cv2.imencode(".png", np.zeros((90, 120, 3), np.uint8))[1].tobytes()
    for _ in range(2):
        with pytest.raises(SampleError, match="no_face_in_reference: nobody was found in 120 × 90"):
            tokens.of(nobody)
    assert len(computed) == 1
    with pytest.raises(SampleError, match="not_an_image"):
        tokens.of(b"no image at all")


def test_a_size_is_tried_only_where_larger_ones_find_nobody() -> None:
    """The tiny detector finds 32, 64 and 128 px of what it is shown."""
    detectors = [choice.open() for choice in one_by_one(DETECTOR)]
    assert [choice.sizes_px for choice in one_by_one(DETECTOR)] == [(640,), (320,), (160,)]
    photo = decode(reference(1, face_px=256, x=192, y=192)).pixels
    found = first_face(photo, detectors)
    assert found is not None
    assert found.bbox[2] - found.bbox[0] == pytest.approx(256, abs=8)
    assert first_face(photo, detectors[:2]) is None
    # 16 px are found at 640; then 128 px, which 320 would find, are not looked for.
    photo = np.zeros((320, 320, 3), np.uint8)
    photo[16:32, 16:32] = photo[128:256, 128:256] = 255
    small, large = first_face(photo, detectors), first_face(photo, detectors[1:])
    assert small is not None
    assert large is not None
    assert small.bbox[2] - small.bbox[0] == pytest.approx(16, abs=4)
    assert large.bbox[2] - large.bbox[0] == pytest.approx(128, abs=8)


def test_other_detectors_can_be_chosen(tmp_path: Path) -> None:
    mtcnn = DetectorChoice("mtcnn")
    assert one_by_one(mtcnn) == [mtcnn]
    with pytest.raises(RecipeError, match="takes no sizes_px"):
        DetectorChoice("mtcnn", sizes_px=(640,))
    buffalo = IdTokenSettings(detector=DetectorChoice("scrfd", weights="buffalo_l"))
    with pytest.raises(Exception, match="buffalo_l"):  # it is not in this test's manifest
        IdTokens(buffalo, cache=tmp_path)


def test_missing_weights_are_named_before_any_photo(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeightError, match="inscene weights pull"):
        IdTokens()


def test_two_workers_compute_it_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def slow() -> Tensor:
        calls.append(1)
        time.sleep(0.3)
        return torch.full((2, 3), float(len(calls)), dtype=torch.bfloat16)

    found: list[Tensor] = []

    def work() -> None:
        found.append(TokenCache(tmp_path, (2, 3)).get("ab" * 32, slow))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert all(torch.equal(one, found[0]) for one in found)


def test_memory_holds_the_last_ones(tmp_path: Path) -> None:
    calls: list[str] = []

    def of(name: str) -> Callable[[], Tensor]:
        def compute() -> Tensor:
            calls.append(name)
            raise SampleError("no_identity", name)

        return compute

    cache = TokenCache(tmp_path, (2, 3), in_memory=2)
    for name in "abacab":
        with pytest.raises(SampleError, match=f"no_identity: {name}"):
            cache.get(name * 64, of(name))
    assert calls == ["a", "b", "c", "b"]  # b was the one that nobody had asked for longest


def test_ir_se_50_has_the_tensors_of_the_published_file() -> None:
    """facexlib's network, which the embedder fills."""
    from facexlib.recognition.arcface_arch import Backbone

    with torch.device("meta"):
        network = Backbone(50, 0.6, "ir_se")
    found = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    lines = (DATA / "recognition_arcface_ir_se50.txt").read_text().splitlines()
    official = dict(line.split() for line in lines)
    assert {name: "x".join(map(str, shape)) or "-" for name, shape in found.items()} == official
    assert len(official) == 397
    assert sum(math.prod(p.shape) for p in network.parameters()) == 43_797_696
