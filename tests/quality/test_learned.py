"""The learned metrics are those of pyiqa 0.1.16, whatever weights they have.

Weights are random, in the official layout, and pulled by the command that a user types; the
reference is ``pyiqa.create_metric`` on the same files, loaded by its own code.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from loopback.published import LICENCE, known
from tiny_weights.metrics import METRIC_FILES
from tiny_weights.yolov8_face import write_evil

from inscene.errors import MachineError, SampleError
from inscene.quality.registry import METRICS

pytestmark = [
    # Of pyiqa's own loading of CLIP; ours has neither.
    pytest.mark.filterwarnings("ignore:`torch.jit.load` is:FutureWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file .*/clip/:ResourceWarning"),
]

PYIQA_NAMES = {
    "dists": "dists",
    "lpips": "lpips",
    "lpips_vgg": "lpips-vgg",
    "musiq": "musiq",
    "clipiqa": "clipiqa",
    "maniqa": "maniqa",
    "maniqa_pipal": "maniqa-pipal",
    "liqe": "liqe",
    "topiq_nr": "topiq_nr",
}
LEARNED = tuple(PYIQA_NAMES)
MANIQAS = ("maniqa", "maniqa_pipal")


def measure(scorer, key: str, images, references) -> list[float]:
    return scorer(images, references if METRICS[key].reference else [])


@pytest.fixture
def pairs(request, photos):
    """Fewer of them for MANIQA, which is slow."""
    images, clean = photos
    count = 1 if request.node.callspec.params["key"] in MANIQAS else len(images)
    return images[:count], clean[:count]


@pytest.mark.parametrize("key", LEARNED)
def test_agrees_with_pyiqa(key: str, load, pyiqa_metric, pairs, capsys) -> None:

    from inscene.quality.learned import as_tensor

    images, clean = pairs
    ours = measure(load(key), key, images, clean)
    printed = capsys.readouterr()
    assert printed.out == ""
    reference = pyiqa_metric(PYIQA_NAMES[key])
    assert reference.lower_better is not METRICS[key].higher_is_better
    tensors = [as_tensor([image], "cpu") for image in images]
    targets = [as_tensor([image], "cpu") for image in clean]
    theirs = [
        float(reference(one, target) if METRICS[key].reference else reference(one))
        for one, target in zip(tensors, targets, strict=True)
    ]
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6)
    if len(ours) > 1:
        assert max(ours) - min(ours) > 1e-4  # it depends on the image at all


@pytest.fixture
def small_pairs(request, photos):
    """As small as they may be without being trivial."""
    side_px = 224 if request.node.callspec.params["key"] == "liqe" else 128
    return tuple([image[:side_px, :side_px] for image in some] for some in photos)


@pytest.mark.parametrize("key", ["dists", "lpips", "musiq", "clipiqa", "liqe", "topiq_nr"])
def test_does_not_depend_on_its_company(key: str, load, small_pairs) -> None:
    images, clean = ([*some, *some, *some[:2]] for some in small_pairs)
    together = measure(load(key), key, images, clean)
    assert len(together) == 8
    alone = [measure(load(key), key, [images[index]], [clean[index]])[0] for index in range(3)]
    assert together == pytest.approx([*alone, *alone, *alone[:2]], abs=1e-4)


@pytest.mark.parametrize("key", ["dists", "lpips", "musiq", "clipiqa", "liqe", "topiq_nr"])
def test_is_the_same_again_and_leaves_random_numbers_alone(key: str, load, small_pairs) -> None:
    import torch

    first = measure(load(key), key, *small_pairs)
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
    assert measure(load(key), key, *small_pairs) == first
    assert measure(METRICS[key].load(), key, *small_pairs) == first
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


@pytest.mark.parametrize("key", ["maniqa", "liqe", "topiq_nr"])
def test_each_number_is_of_the_checkpoint(key: str, load, metric_weights) -> None:
    """pyiqa starts these from published trunks, which are not fetched here."""
    import torch

    network = load(key)._network
    (name,) = METRICS[key].weights
    path = Path(metric_weights["INSCENE_WEIGHTS"]) / name / METRIC_FILES[name][0]
    checkpoint = torch.load(path, weights_only=True)
    checkpoint = checkpoint.get("params", checkpoint)
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    assert tensors
    assert {key: True for key in tensors} == {
        key: torch.equal(tensor.cpu(), checkpoint[key].to(tensor.dtype))
        for key, tensor in tensors.items()
    }
    left = set(checkpoint) - set(tensors)
    assert all(name.startswith(("vit.blocks.10.", "vit.blocks.11.")) for name in left)


def test_maniqa_after_an_exception(load, photos) -> None:
    """pyiqa would give this image the features of the one that failed."""
    (images, _), maniqa = photos, load("maniqa")
    (expected,) = maniqa([images[0]])

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory, say")

    hook = maniqa._network.vit.blocks[8].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        maniqa([images[1]])
    hook.remove()
    assert maniqa([images[0]]) == [expected]


def test_text_features_of_other_weights(
    load, photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyiqa's LIQE trusts what it finds in its cache."""
    import torch

    from inscene.quality.networks import import_with_clip

    images, _ = photos
    expected = load("liqe")(images)
    poison = tmp_path / "liqe_text_feat.pt"
    torch.save(torch.ones(5, 512), poison)
    before = poison.read_bytes()
    liqe_arch = import_with_clip("pyiqa.archs.liqe_arch")
    monkeypatch.setattr(liqe_arch, "DEFAULT_CACHE_DIR", str(tmp_path))
    assert METRICS["liqe"].load()(images) == expected
    assert poison.read_bytes() == before


def test_small_images(load) -> None:
    small = np.zeros((300, 223, 3), np.uint8)
    with pytest.raises(SampleError, match="image_too_small: 223x300, 224 px a side") as raised:
        load("liqe")([small])
    assert raised.value.reason == "image_too_small"
    with pytest.raises(SampleError, match="image_too_small"):
        load("lpips")([small[:31]], [small[:31]])
    for key in ("lpips", "dists", "musiq", "clipiqa", "topiq_nr"):
        (value,) = measure(load(key), key, [small[:32, :33]], [small[:32, :33]])
        assert np.isfinite(value)


def test_windows_of_liqe(load, pyiqa_metric) -> None:
    """Few windows and many: which of them are looked at."""
    from inscene.quality.learned import as_tensor

    reference = pyiqa_metric("liqe")
    for height, width in [(224, 255), (224, 352), (352, 384)]:
        image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
        theirs = float(reference(as_tensor([image], "cpu")))
        assert load("liqe")([image]) == pytest.approx([theirs], abs=1e-5), (height, width)


def test_wrong_inputs(load) -> None:
    image = np.zeros((64, 80, 3), np.uint8)
    with pytest.raises(SampleError, match="got 64x80, the reference is 80x64"):
        load("lpips")([image.transpose(1, 0, 2)], [image])
    with pytest.raises(SampleError, match="not_8_bit_rgb"):
        load("musiq")([image[..., 0]])


def test_missing_weights_are_told_before_anything_is_imported(tmp_path: Path) -> None:
    program = f"""
import os, sys
os.environ["INSCENE_WEIGHTS"] = {str(tmp_path)!r}
from inscene.quality.registry import METRICS
from inscene.weights import MissingWeightError
for key in {(*LEARNED, "fid")!r}:
    try:
        METRICS[key].load()
    except MissingWeightError as error:
        assert f"inscene weights pull {{METRICS[key].weights[0]}}" in str(error), error
    else:
        raise SystemExit(f"{{key}} has loaded")
assert not {{"pyiqa", "torch", "torchvision"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(
    ("key", "weight", "zipped"),
    [
        ("musiq", "musiq", False),
        ("lpips", "alexnet-imagenet", True),
        ("liqe", "liqe", True),
        ("topiq_nr", "topiq-nr", False),
        ("clipiqa", "clip-rn50", True),
        ("clipiqa", "clip-rn50", False),
        ("fid", "fid-inception", True),
    ],
)
def test_a_checkpoint_that_carries_code(
    key: str,
    weight: str,
    zipped: bool,
    metric_weights,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Published like that, or changed together with its hash."""
    victim = tmp_path / "victim"
    weights = tmp_path / "weights"
    shutil.copytree(metric_weights["INSCENE_WEIGHTS"], weights)
    evil = weights / weight / METRIC_FILES[weight][0]
    write_evil(evil, victim, zipped=zipped)
    manifest = yaml.safe_load(Path(metric_weights["INSCENE_WEIGHTS_MANIFEST"]).read_text())
    source = {"url": "https://nowhere"}
    manifest[weight] = {
        "about": "evil",
        "for": ["bench"],
        "licence": LICENCE,
        "files": [known(evil.name, evil.read_bytes(), **source)],
    }
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    monkeypatch.setenv("INSCENE_WEIGHTS", str(weights))
    monkeypatch.setenv("INSCENE_WEIGHTS_MANIFEST", str(tmp_path / "manifest.yaml"))
    (weights / "pins.json").unlink()
    says = "not a TorchScript archive" if weight == "clip-rn50" else "carries code"
    with pytest.raises(MachineError, match=says) as raised:
        METRICS[key].load()
    assert raised.value.where == str(evil)
    assert not victim.exists()


def test_a_checkpoint_of_another_network(
    metric_weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = yaml.safe_load(Path(metric_weights["INSCENE_WEIGHTS_MANIFEST"]).read_text())
    here = Path(metric_weights["INSCENE_WEIGHTS"])
    wrong = (here / "topiq-nr" / METRIC_FILES["topiq-nr"][0]).read_bytes()
    file = tmp_path / "weights" / "musiq" / METRIC_FILES["musiq"][0]
    file.parent.mkdir(parents=True)
    file.write_bytes(wrong)
    manifest["musiq"]["files"] = [known(file.name, wrong)]
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("INSCENE_WEIGHTS_MANIFEST", str(tmp_path / "manifest.yaml"))
    with pytest.raises(MachineError, match="not a checkpoint of MUSIQ"):
        METRICS["musiq"].load()


def test_nothing_is_fetched_or_left_behind(metric_weights, tmp_path: Path) -> None:
    """A fresh process of a user without any cache, whose every connection fails."""
    home = tmp_path / "home"
    home.mkdir()
    program = f"""
import socket, sys
def refuse(*arguments, **options):
    raise SystemExit(f"a connection is opened: {{arguments}}")
socket.socket.connect = socket.getaddrinfo = refuse
import numpy as np
from inscene.quality.registry import METRICS
image = np.zeros((224, 224, 3), np.uint8)
for key in {(*(key for key in LEARNED if key not in MANIQAS), "fid")!r}:
    METRICS[key].load()([image], [image] if METRICS[key].reference else [])
METRICS["maniqa"].load()
"""
    environment = {
        **metric_weights,
        "HOME": str(home),
        "TMPDIR": str(home),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment, cwd=home, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    # (torch leaves an empty folder for its compiler.)
    assert [path for path in home.rglob("*") if not path.is_dir()] == []
