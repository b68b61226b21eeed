"""The checkpoint's folder: all of the model, nothing of this machine, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tiny_weights.sd_turbo import build, shake

from inscene.errors import UsageError, VerificationError
from inscene.face2scene import checkpoint, document
from inscene.face2scene.config import Face2SceneConfig
from inscene.face2scene.document import LORA_FILE
from inscene.face2scene.families import find_family
from inscene.face2scene.pipeline import Face2ScenePipeline

TINY = find_family("tiny").config
KINDS = ["full", "unet", "lora", "sd-turbo"]
"""Carries everything; everything and adapters; adapters of a base alone."""


@pytest.fixture(scope="module")
def sd_turbo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sd-turbo")
    build(folder)
    return folder


def _pipeline(kind, sd_turbo, dtype=torch.float32):
    if kind == "sd-turbo":
        made = Face2ScenePipeline.from_family("sd-turbo", base=sd_turbo, dtype=dtype)
    else:
        config = TINY.model_copy(update={"trainable": kind})
        made = Face2ScenePipeline.from_family("tiny", config=config, dtype=dtype)
    shake(made.restorer.unet, made.restorer.vae)
    with torch.no_grad():  # as after its training
        made.fadex.encoder[1].running_mean.normal_(generator=torch.Generator().manual_seed(0))
    return made


def _state(parts):
    models = {name: getattr(parts, name) for name in ("vae", "unet", "fadex", "mapnet")}
    return {
        f"{name}.{key}": tensor
        for name, model in models.items()
        for key, tensor in model.state_dict().items()
    } | {"positive": parts.prompts.positive, "negative": parts.prompts.negative}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_is_the_same(tmp_path, sd_turbo, kind, dtype):
    made = _pipeline(kind, sd_turbo, dtype)
    checkpoint.save(made.parts, tmp_path / "model")
    if kind == "sd-turbo":  # the last convolution is the base's, but for its adapter
        stored = {
            key: tensor
            for key, tensor in made.restorer.unet.state_dict().items()
            if key.startswith("conv_out.base_layer.")
        }
    loaded = checkpoint.load(
        tmp_path / "model", base=sd_turbo if kind == "sd-turbo" else None, dtype=dtype
    )
    assert loaded.config == made.config
    old, new = _state(made.parts), _state(loaded)
    assert old.keys() == new.keys()
    differing = {key for key in old if not torch.equal(old[key], new[key])}
    expected = set() if kind != "sd-turbo" else {f"unet.{key}" for key in stored}
    assert differing == expected
    assert not any(
        model.training for model in (loaded.vae, loaded.unet, loaded.fadex, loaded.mapnet)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_its_files(tmp_path, sd_turbo, kind):
    folder = tmp_path / "model"
    made = _pipeline(kind, sd_turbo)
    checkpoint.save(made.parts, folder)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    own = {f"{part}/{name}" for part in ("fadex", "mapnet")
           for name in ("config.json", "diffusion_pytorch_model.safetensors")}  # fmt: skip
    own |= {"face2scene.json", "prompt_embeds/prompts.safetensors"}
    adapters = {f"{part}/pytorch_lora_weights.safetensors" for part in ("unet_lora", "vae_lora")}
    whole = {name.replace("fadex", "vae").replace("mapnet", "unet") for name in own if "/c" in name
             or "/d" in name}  # fmt: skip
    wanted = {
        "full": own | whole,
        "unet": own | whole,
        "lora": own | whole | adapters,
        "sd-turbo": own | adapters | {"unet_conv_in/model.safetensors"},
    }
    assert files == wanted[kind]
    stated = json.loads((folder / "face2scene.json").read_text())
    assert set(stated["files"]) == files - {"face2scene.json"}
    assert stated["format_version"] == 1
    assert stated["lora"]["alpha"] == 8
    for path in files:
        content = (folder / path).read_bytes()
        assert str(tmp_path).encode() not in content
        assert str(sd_turbo).encode() not in content
    # A neighbour may read all of it, where the user's umask lets him.
    assert len({(folder / path).stat().st_mode for path in files}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_whole_model_is_read_by_diffusers_alone(tmp_path, sd_turbo):
    made = _pipeline("full", sd_turbo)
    measured = made.config.model_copy(update={"scaling_factor": 0.25})
    checkpoint.save(dataclasses.replace(made.parts, config=measured), tmp_path / "model")
    vae = AutoencoderKL.from_pretrained(tmp_path / "model", subfolder="vae")
    assert vae.config.scaling_factor == 0.25
    unet = UNet2DConditionModel.from_pretrained(tmp_path / "model", subfolder="unet")
    mine = made.restorer.unet.state_dict()
    assert all(torch.equal(tensor, mine[name]) for name, tensor in unet.state_dict().items())


@pytest.fixture(scope="module")
def model(tmp_path_factory, sd_turbo):
    folder = tmp_path_factory.mktemp("model") / "model"
    checkpoint.save(_pipeline("lora", sd_turbo).parts, folder)
    return folder


@pytest.fixture
def copy(model, tmp_path):
    return Path(shutil.copytree(model, tmp_path / "copy"))


def _edit(folder, change):
    document = folder / "face2scene.json"
    stated = json.loads(document.read_text())
    change(stated)
    document.write_text(json.dumps(stated))


@pytest.mark.parametrize("path", document.expected_files(
    TINY.model_copy(update={"trainable": "lora"})
))  # fmt: skip
def test_a_changed_file_is_named(copy, path):
    content = bytearray((copy / path).read_bytes())
    content[-1] ^= 1
    (copy / path).write_bytes(content)
    with pytest.raises(VerificationError, match=f"{path}.*SHA-256.*Fetch it again"):
        checkpoint.load(copy)


def test_a_missing_file(copy):
    (copy / "mapnet/config.json").unlink()
    with pytest.raises(VerificationError, match=r"mapnet/config\.json.*missing"):
        checkpoint.load(copy)


def test_a_file_without_a_hash_is_not_read(copy):
    _edit(copy, lambda stated: stated["files"].pop("unet_lora/pytorch_lora_weights.safetensors"))
    with pytest.raises(VerificationError, match=r"unet_lora.*no hash"):
        checkpoint.load(copy)


def test_a_hash_of_a_file_elsewhere(copy):
    _edit(copy, lambda stated: stated["files"].update({"../other.safetensors": "0" * 64}))
    with pytest.raises(VerificationError, match="a file outside"):
        checkpoint.load(copy)


class _Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.parametrize("name", ["fadex/diffusion_pytorch_model.bin", "x.ckpt", "unet/y.PKL"])
@pytest.mark.parametrize("instead", [False, True])
def test_pickles_are_refused_and_never_opened(copy, name, instead):
    (copy / name).write_bytes(pickle.dumps(_Trap()))
    if instead:
        (copy / "fadex/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(VerificationError, match="can run code"):
        checkpoint.load(copy)


def test_a_later_format(copy):
    _edit(copy, lambda stated: stated.update(format_version=2, new_option=True))
    with pytest.raises(UsageError, match=r"version 2, and this program reads version 1.*upgrade"):
        checkpoint.load(copy)


@pytest.mark.parametrize("content", [
    "", "[]", "{}", '{"format_version": 1}', '{"format_version": 1, "files": {}, "colour": 1}',
])  # fmt: skip
def test_documents_that_are_none(copy, content):
    (copy / "face2scene.json").write_text(content)
    with pytest.raises(UsageError, match=r"face2scene\.json: it cannot be read"):
        checkpoint.load(copy)


def test_a_folder_that_is_no_checkpoint(tmp_path):
    with pytest.raises(UsageError, match=r"no face2scene\.json"):
        checkpoint.load(tmp_path)


def test_alpha_is_the_documents_where_metadata_is_stripped(copy, model):
    """Hashes of the stripped file are stated, as one would who converts a checkpoint."""
    for part in ("unet_lora", "vae_lora"):
        file = copy / part / LORA_FILE
        save_file(load_file(file), file)
        hashed = document.sha256_of(file)
        _edit(copy, lambda stated, part=part, hashed=hashed: stated["files"].update(
            {f"{part}/{LORA_FILE}": hashed}
        ))  # fmt: skip
    whole, stripped = checkpoint.load(model), checkpoint.load(copy)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        latents = [parts.vae.encode(image).latent_dist.mode() for parts in (whole, stripped)]
    assert torch.equal(*latents)
    _edit(copy, lambda stated: stated["lora"].pop("alpha"))
    with pytest.raises(VerificationError, match=r"Set lora\.alpha"):
        checkpoint.load(copy)


def test_alpha_that_contradicts_the_metadata(copy):
    _edit(copy, lambda stated: stated["lora"].update(alpha=32))
    with pytest.raises(VerificationError, match="lora_alpha=8"):
        checkpoint.load(copy)


def test_parts_of_different_models(copy):
    _edit(copy, lambda stated: stated.update(token_scales=[1, 2]))
    with pytest.raises(VerificationError, match=r"grids of \(1, 2, 4\).*\(1, 2\)"):
        checkpoint.load(copy)
    prompts = copy / "prompt_embeds/prompts.safetensors"
    save_file({name: torch.zeros(1, 77, 8) for name in ("pos", "neg")}, prompts)
    hashed = document.sha256_of(prompts)
    _edit(
        copy, lambda stated: stated["files"].update({"prompt_embeds/prompts.safetensors": hashed})
    )
    with pytest.raises(VerificationError, match="the UNet 32, MapNet 32, the prompts 8"):
        checkpoint.load(copy)


def test_saving_again_replaces(model, sd_turbo, tmp_path):
    folder = tmp_path / "model"
    first, second = _pipeline("full", sd_turbo), _pipeline("lora", sd_turbo)
    checkpoint.save(first.parts, folder, training=lambda at: (at / "step").write_text("1") and None)
    assert (folder / "training/step").read_text() == "1"
    checkpoint.load(folder)  # with no look at training/
    checkpoint.save(second.parts, folder)
    assert not (folder / "training").exists()
    assert checkpoint.load(folder).config.trainable == "lora"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_interrupted_save_leaves_the_old_one(copy, sd_turbo, monkeypatch):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    parts = _pipeline("full", sd_turbo).parts

    def fail(folder):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(parts, copy, training=fail)
    real = Path.rename

    def once(self, target):
        if self.name == "new":
            raise OSError("no space left")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(OSError, match="no space"):
        checkpoint.save(parts, copy)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


@pytest.mark.parametrize("kind", KINDS)
def test_stored_in_half_and_loaded_as_float32(tmp_path, sd_turbo, kind):
    """Weights take half the room; what is loaded is float32 and differs by rounding."""
    made = _pipeline(kind, sd_turbo)
    norm = made.fadex.encoder[1]
    norm.running_var.fill_(1e-9)  # nothing, in float16
    norm.num_batches_tracked.fill_(70_001)
    before = {name: tensor.clone() for name, tensor in _state(made.parts).items()}
    made.save_pretrained(tmp_path / "half", dtype=torch.float16)
    made.save_pretrained(tmp_path / "full")
    for name, tensor in _state(made.parts).items():
        assert torch.equal(tensor, before[name]), name
    for path in (tmp_path / "half").rglob("*.safetensors"):
        types = {one.dtype for one in load_file(path).values() if one.ndim > 1}
        assert types == {torch.float16}, path
    sizes = {
        name: sum(path.stat().st_size for path in (tmp_path / name).rglob("*.safetensors"))
        for name in ("half", "full")
    }
    assert sizes["half"] < 0.62 * sizes["full"]
    assert (tmp_path / "half/face2scene.json").stat().st_mode & 0o777 == (
        tmp_path / "half/fadex" / document.DIFFUSERS_FILES[1]
    ).stat().st_mode & 0o777
    base = sd_turbo if kind == "sd-turbo" else None
    loaded = Face2ScenePipeline.from_pretrained(tmp_path / "half", base=base)
    for name, tensor in _state(loaded.parts).items():
        assert tensor.dtype == before[name].dtype, name
        if kind == "sd-turbo" and name.startswith("unet.conv_out.base_layer."):
            continue  # the base's
        torch.testing.assert_close(tensor, before[name], rtol=1e-3, atol=1e-7)
    assert loaded.fadex.encoder[1].running_var.equal(norm.running_var)
    assert loaded.fadex.encoder[1].num_batches_tracked == 70_001


def test_weights_that_are_too_large_for_half(tmp_path, sd_turbo):
    made = _pipeline("full", sd_turbo)
    with torch.no_grad():
        made.mapnet.get_parameter(next(iter(dict(made.mapnet.named_parameters()))))[0] = 7e4
    with pytest.raises(UsageError, match=r"of mapnet has weights of up to 7e\+04"):
        made.save_pretrained(tmp_path / "half", dtype=torch.float16)
    assert not (tmp_path / "half").exists()
    made.save_pretrained(tmp_path / "half", dtype=torch.bfloat16)


@pytest.mark.parametrize("make", [
    lambda path: (path.mkdir(), (path / "thesis.tex").write_text("…")),
    lambda path: path.write_text("a file"),
])  # fmt: skip
def test_what_is_no_checkpoint_is_not_overwritten(tmp_path, sd_turbo, make):
    make(tmp_path / "mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="not overwritten"):
        checkpoint.save(_pipeline("full", sd_turbo).parts, tmp_path / "mine")
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "empty").mkdir()
    checkpoint.save(_pipeline("full", sd_turbo).parts, tmp_path / "empty")


def test_what_cannot_be_saved(tmp_path, sd_turbo):
    fused = _pipeline("lora", sd_turbo).optimised(fuse_lora=True)
    with pytest.raises(UsageError, match="fused"):
        fused.save_pretrained(tmp_path / "model")
    impossible = _pipeline("sd-turbo", sd_turbo)
    impossible.config = Face2SceneConfig(trainable="full")
    with pytest.raises(UsageError, match="trainable: full"):
        impossible.save_pretrained(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
