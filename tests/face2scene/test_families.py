"""Sizes of the three families, counted without memory, and the official settings."""

from __future__ import annotations

import hashlib

import pytest
import torch
import yaml
from diffusers import AutoencoderKL, UNet2DConditionModel
from tiny_weights.sd_turbo import OFFICIAL, as_published

from inscene.errors import UsageError
from inscene.face2scene import lora
from inscene.face2scene.config import Face2SceneConfig
from inscene.face2scene.fadex import FaDeX
from inscene.face2scene.families import FAMILIES, find_family
from inscene.face2scene.mapnet import MapNet
from inscene.shipped import shipped_folder

NAMES = list(FAMILIES)


def _count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def _on_meta(kind, arguments):
    with torch.device("meta"):
        return kind(**arguments)


@pytest.mark.parametrize(
    ("name", "vae", "unet", "encoder", "mapnet"),
    [
        ("tiny", 316_695, 792_964, 35_904, 40_593),
        ("small", 670_371, 1_092_112, 72_960, 74_769),
        ("sd-turbo", 83_653_863, 865_910_724, 1_148_928, 6_699_137),
    ],
)
def test_parameters(name, vae, unet, encoder, mapnet):
    family = find_family(name)
    assert _count(_on_meta(AutoencoderKL, family.vae)) == vae
    assert _count(_on_meta(UNet2DConditionModel, family.unet)) == unet
    assert _count(_on_meta(FaDeX, family.fadex).encoder) == encoder
    assert _count(_on_meta(MapNet, family.mapnet)) == mapnet


def test_parts_of_sd_turbo():
    family = find_family("sd-turbo")
    vae = _on_meta(AutoencoderKL, family.vae)
    assert (_count(vae.encoder), _count(vae.decoder)) == (34_163_592, 49_490_179)
    assert _count(_on_meta(UNet2DConditionModel, family.unet).conv_in) == 11_840
    assert _count(_on_meta(FaDeX, family.fadex).head) == 131_584


@pytest.mark.parametrize(
    ("name", "of_unet", "of_vae"),
    [
        ("tiny", (68_240, 72), (9_638, 22)),
        ("small", (166_144, 72), (22_572, 16)),
        ("sd-turbo", (32_434_304, 257), (1_477_168, 31)),
    ],
)
def test_adapters(name, of_unet, of_vae):
    family = find_family(name)
    for kind, arguments, wanted in (
        (UNet2DConditionModel, family.unet, of_unet),
        (AutoencoderKL, family.vae, of_vae),
    ):
        model = _on_meta(kind, arguments)
        with torch.device("meta"):
            lora.add(model, family.config.lora)
        parameters = sum(parameter.numel() for parameter in lora.parameters(model))
        assert (parameters, len(lora.targets(model))) == wanted


@pytest.mark.parametrize("path", sorted(OFFICIAL))
def test_what_the_tests_take_for_official_is(path):
    """Its hash is that of the file which the hub serves."""
    manifest = yaml.safe_load((shipped_folder("manifests") / "weights.yaml").read_text())
    files = {
        file["path"]: file["sha256"] for file in manifest["sd-turbo"]["files"] if "sha256" in file
    }
    assert hashlib.sha256(as_published(OFFICIAL[path]).encode()).hexdigest() == files[path]


@pytest.mark.parametrize(("kind", "part"), [(UNet2DConditionModel, "unet"), (AutoencoderKL, "vae")])
def test_sd_turbo_is_built_as_the_official_settings_say(kind, part):
    official = _on_meta(kind.from_config, {"config": OFFICIAL[f"{part}/config.json"]}).config
    mine = _on_meta(kind, getattr(find_family("sd-turbo"), part)).config

    def lists(value):
        return list(value) if isinstance(value, tuple) else value

    def own(key):
        return not key.startswith("_")

    differing = {
        key: (lists(mine[key]), lists(official[key]))
        for key in filter(own, mine)
        # Never read where it is falsy: diffusers says False by default, the file says null.
        if (lists(mine[key]) or None) != (lists(official[key]) or None)
    }
    assert differing == {}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_family_says_of_itself_fits(name):
    family = find_family(name)
    config = family.config
    assert config.family == family.name == name
    assert Face2SceneConfig.model_validate_json(config.model_dump_json()) == config
    assert family.fadex["channels"][-1] == family.mapnet["in_channels"]
    assert family.mapnet["token_dim"] == family.unet["cross_attention_dim"]
    assert family.vae["scaling_factor"] == config.scaling_factor
    halvings = len(family.vae["block_out_channels"]) + len(family.unet["block_out_channels"]) - 2
    assert config.pad_multiple_px == 2**halvings
    assert (config.base is None) == (config.trainable == "full")
    assert (config.base is None) == (config.prompts.seed is not None)


def test_an_unknown_family():
    with pytest.raises(UsageError, match="Did you mean 'sd-turbo'"):
        find_family("sdturbo")
