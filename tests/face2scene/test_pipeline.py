"""The pipeline as a program uses it: scenes in, restored scenes out; folders and the hub."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from huggingface_hub import constants
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback.hub import LoopbackHub
from tiny_weights.sd_turbo import build, shake

from inscene.errors import MachineError, UsageError
from inscene.face2scene import colour, guidance, sizes
from inscene.face2scene.config import Tiling
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.families import find_family
from inscene.face2scene.pipeline import Face2ScenePipeline

TINY = find_family("tiny").config


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


def _scene(height=48, width=64, seed=0):
    return torch.rand(3, height, width, generator=_rng(seed)) * 2 - 1


def _pair(side=40, seed=0):
    return FacePair(_scene(side, side, seed + 100), _scene(side, side, seed + 200))


def _tiny(**update):
    made = Face2ScenePipeline.from_family("tiny", config=TINY.model_copy(update=update))
    shake(made.restorer.unet, made.restorer.vae)
    return made


def _same(read, made):
    """What they do, but for the last bits: weights lie otherwise in memory after they were read,
    and other alignments have other kernels. That the weights are equal is the checkpoint's test."""
    one, other = (pipeline([_scene()], [_pair()])[0] for pipeline in (read, made))
    torch.testing.assert_close(one, other, atol=2e-5, rtol=0)


@pytest.fixture(scope="module")
def tiny():
    return _tiny()


def test_it_is_its_steps(tiny):
    scene, pair = _scene(20, 28), _pair()
    (tokens,) = tiny.tokens([pair])
    assert tokens.shape == (21, 32)
    lq = sizes.resized(scene[None], (40, 56))
    padded, _ = sizes.pad(lq, 16)
    assert padded.shape == (1, 3, 48, 64)
    contexts = [
        guidance.context(prompt, tokens[None])
        for prompt in (tiny.prompts.positive, tiny.prompts.negative)
    ]
    restored = tiny.restorer.restore(padded, *contexts, guidance_scale=1.07)[..., :40, :56]
    expected = colour.fix(restored, lq, "wavelet").clamp(-1, 1)
    (result,) = tiny([scene], [pair], upscale=2)
    assert torch.equal(result, expected[0])


@settings(max_examples=8, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), upscale=st.sampled_from([1, 2, 1.5]))
def test_any_size(tiny, height, width, upscale):
    (result,) = tiny(_scene(height, width)[None], [None], upscale=upscale)
    assert result.shape == (3, round(height * upscale), round(width * upscale))
    assert result.dtype == torch.float32
    assert result.abs().max() <= 1
    assert not result.requires_grad


def test_every_option_acts(tiny):
    scene, pair = [_scene(64, 96)], [_pair()]
    plain = tiny(scene, pair)[0]
    assert torch.equal(plain, tiny(scene, pair, guidance_scale=1.07, colour_fix="wavelet")[0])
    others = {
        "guidance": tiny(scene, pair, guidance_scale=1.5)[0],
        "no guidance": tiny(scene, pair, guidance_scale=1)[0],
        "adain": tiny(scene, pair, colour_fix="adain")[0],
        "no colour fix": tiny(scene, pair, colour_fix="none")[0],
        "tiles": tiny(scene, pair, tiling=Tiling(latent_tile=8))[0],
        "no face": tiny(scene, [None])[0],
        "another face": tiny(scene, [_pair(seed=1)])[0],
    }
    for name, other in others.items():
        assert not torch.equal(other, plain), name


def test_what_the_checkpoint_says_is_the_default():
    config = {"colour_fix": "adain", "guidance": TINY.guidance.model_copy(update={"scale": 1.3})}
    made = _tiny(**config)
    scene, pair = [_scene()], [_pair()]
    asked = _tiny()(scene, pair, colour_fix="adain", guidance_scale=1.3)
    assert torch.equal(made(scene, pair)[0], asked[0])


def test_batches_keep_the_order(tiny):
    scenes = [_scene(32, 48, 0), _scene(48, 32, 1), _scene(32, 48, 2), _scene(32, 48, 3)]
    pairs = [_pair(40, 0), None, _pair(64, 2), None]
    alone = [tiny([scene], [pair])[0] for scene, pair in zip(scenes, pairs, strict=True)]
    sizes_seen = []
    hook = tiny.restorer.vae.encoder.register_forward_pre_hook(
        lambda module, inputs: sizes_seen.append(len(inputs[0]))
    )
    together = tiny(scenes, pairs, batch_size=4)
    hook.remove()
    assert sizes_seen == [2, 1, 1]  # two sizes, and one of three without a face
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_a_model_without_tokens():
    made = _tiny(token_scales=())
    assert made.tokens([_pair()]) == [None]
    assert torch.equal(made([_scene()], [_pair()])[0], made([_scene()], [None])[0])


@pytest.mark.parametrize(("scales", "count"), [((1,), 1), ((1, 2), 5)])
def test_fewer_tokens(scales, count):
    made = _tiny(token_scales=scales)
    assert made.tokens([_pair()])[0].shape == (count, 32)
    assert made([_scene()], [_pair()])[0].shape == (3, 48, 64)


def test_inputs_that_are_wrong(tiny):
    for scenes, pairs, options, message in (
        ([_scene()], [], {}, "1 scenes and 0 face pairs"),
        ([_scene()[None]], [None], {}, "a scene is 3×H×W"),
        ([_scene()[:1]], [None], {}, "a scene is 3×H×W"),
        ([torch.zeros(3, 8, 8, dtype=torch.uint8)], [None], {}, "floats"),
        ([_scene(2, 2)], [None], {"upscale": 0.1}, "nothing is left"),
        ([_scene()], [None], {"batch_size": 0}, "at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            tiny(scenes, pairs, **options)
    assert tiny([], []) == []


def test_the_same_seed_is_the_same_model():
    before = torch.get_rng_state()
    results = [Face2ScenePipeline.from_family("tiny", seed)([_scene()], [_pair()])[0]
               for seed in (1, 1, 2)]  # fmt: skip
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_families_and_configurations_fit():
    with pytest.raises(UsageError, match="no model family 'huge'"):
        Face2ScenePipeline.from_family("huge")
    with pytest.raises(UsageError, match="of the family tiny, not small"):
        Face2ScenePipeline.from_family("small", config=TINY)


def test_bfloat16():
    exact = _tiny(trainable="lora")
    half = _tiny(trainable="lora").to(dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    (result,), (wanted,) = half([_scene()], [_pair()]), exact([_scene()], [_pair()])
    assert result.dtype == torch.float32
    assert (result - wanted).abs().mean() < 0.02


@pytest.mark.parametrize("options", [
    {"fuse_lora": True}, {"channels_last": True}, {"fuse_lora": True, "channels_last": True},
])  # fmt: skip
def test_optimised_is_the_same_up_to_rounding(options):
    made = _tiny(trainable="lora")
    (before,) = made([_scene()], [_pair()])
    (after,) = made.optimised(**options)([_scene()], [_pair()])
    torch.testing.assert_close(after, before, atol=1e-4, rtol=0)


def test_a_compiled_model_is_saved_as_any(tmp_path):
    """Compiled modules are not wrapped, so that all names stay. Running one is test_restorer's."""
    made = _tiny(trainable="lora").optimised(channels_last=True, compile=True, backend="eager")
    compiled = (made.restorer.unet, made.restorer.vae.encoder, made.restorer.vae.decoder)
    assert all(module._compiled_call_impl is not None for module in compiled)
    made.save_pretrained(tmp_path / "model")
    read = Face2ScenePipeline.from_pretrained(tmp_path / "model")
    old, new = made.restorer.state_dict(), read.restorer.state_dict()
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)


def _point_to(url, monkeypatch):
    """What HF_ENDPOINT does, which the library has read long ago in this process."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with LoopbackHub() as running:
        _point_to(running.url, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield running


def _publish(hub, folder, made, **more):
    made.save_pretrained(folder)
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    hub.add_repo("lab/face2scene-tiny", files | more)


def test_from_the_hub(hub, tmp_path):
    made = _tiny()
    more = {"pytorch_model.bin": b"code", "README.md": b"#", "training/heads.safetensors": b"x"}
    _publish(hub, tmp_path / "model", made, **more)
    read = Face2ScenePipeline.from_pretrained("lab/face2scene-tiny", token=False)
    _same(read, made)
    asked = {request.path for request in hub.requests}
    assert any("mapnet/diffusion_pytorch_model.safetensors" in path for path in asked)
    assert not any(path.endswith(name) for path in asked for name in more)
    commit = hub.repos["lab/face2scene-tiny"].commit
    Face2ScenePipeline.from_pretrained("lab/face2scene-tiny", revision=commit, token=False)


def test_offline_it_is_read_from_the_cache(hub, tmp_path, monkeypatch):
    made = _tiny()
    _publish(hub, tmp_path / "model", made)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MachineError, match="not on this machine"):
        Face2ScenePipeline.from_pretrained("lab/face2scene-tiny", token=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    Face2ScenePipeline.from_pretrained("lab/face2scene-tiny", token=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.requests)
    read = Face2ScenePipeline.from_pretrained("lab/face2scene-tiny", token=False)
    assert len(hub.requests) == asked
    _same(read, made)


def test_what_the_hub_does_not_have(hub, tmp_path):
    with pytest.raises(MachineError, match="no such repository"):
        Face2ScenePipeline.from_pretrained("lab/nothing", token=False)
    with pytest.raises(UsageError, match="not OWNER/NAME"):
        Face2ScenePipeline.from_pretrained(tmp_path / "nothing")
    with pytest.raises(UsageError, match="no revisions"):
        Face2ScenePipeline.from_pretrained(tmp_path, revision="main")


@pytest.fixture
def receiving(monkeypatch):
    """A hub that takes uploads: paths -> contents, and what was asked of it."""
    files: dict[str, bytes] = {}
    asked: list[tuple[str, dict]] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self._answer([
                {"type": "file", "path": path, "size": 1, "oid": "0" * 40}
                for path in ("README.md", "old.safetensors")
            ] if "/tree/" in self.path else {"id": "lab/mine", "sha": "0" * 40})  # fmt: skip

        def do_PUT(self):
            content = self._body()
            stored[hashlib.sha256(content).hexdigest()] = content
            self._answer({})

        def do_POST(self):
            body = self._body()
            path = self.path.split("?")[0]
            if path.endswith("/preupload/main"):
                names = [one["path"] for one in json.loads(body)["files"]]
                kinds = {True: "lfs", False: "regular"}
                self._answer({"files": [
                    {"path": name, "uploadMode": kinds[name.endswith(".safetensors")],
                     "shouldIgnore": False} for name in names
                ]})  # fmt: skip
            elif path.endswith("/info/lfs/objects/batch"):
                wanted = json.loads(body)["objects"]
                self._answer({"transfer": "basic", "objects": [
                    {"oid": one["oid"], "size": one["size"],
                     "actions": {"upload": {"href": f"{url}/put/{one['oid']}"}}} for one in wanted
                ]})  # fmt: skip
            elif "/commit/" in path:
                for line in map(json.loads, body.splitlines()):
                    value = line["value"]
                    if line["key"] == "file":
                        files[value["path"]] = base64.b64decode(value["content"])
                    elif line["key"] == "lfsFile":
                        files[value["path"]] = stored[value["oid"]]
                    else:
                        asked.append((line["key"], value))
                self._answer({"commitUrl": f"{url}/lab/mine/commit/1", "commitOid": "1" * 40,
                              "success": True})  # fmt: skip
            else:
                asked.append((path, json.loads(body or b"{}")))
                self._answer({"url": f"{url}/lab/mine", "name": "lab/mine"})

        def _body(self):
            if "Content-Length" in self.headers:
                return self.rfile.read(int(self.headers["Content-Length"]))
            body = b""  # in chunks, each after its length
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, value):
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    stored: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    _point_to(url, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield files, asked
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own
def test_to_the_hub(receiving, tmp_path):
    files, asked = receiving
    made = _tiny()
    address = made.push_to_hub("lab/mine", commit_message="First", token="hf_x")
    assert address.endswith("/lab/mine/commit/1")
    made.save_pretrained(tmp_path / "model")
    wanted = {path.relative_to(tmp_path / "model").as_posix(): path.read_bytes()
              for path in (tmp_path / "model").rglob("*") if path.is_file()}  # fmt: skip
    assert files == wanted
    made_repo = next(value for path, value in asked if path == "/api/repos/create")
    assert made_repo["visibility"] == "private"
    assert next(value for key, value in asked if key == "header")["summary"] == "First"
    deleted = [value["path"] for key, value in asked if key == "deletedFile"]
    assert deleted == ["old.safetensors"]  # the README stays


def test_sd_turbo_as_published(tmp_path):
    """A model above a base that is not in its checkpoint."""
    build(tmp_path / "base")
    made = Face2ScenePipeline.from_family("sd-turbo", base=tmp_path / "base")
    for name, parameter in made.restorer.unet.named_parameters():
        if ".lora_B." in name or name.startswith("conv_in."):
            parameter.data += 0.01
    made.save_pretrained(tmp_path / "model")
    read = Face2ScenePipeline.from_pretrained(tmp_path / "model", base=tmp_path / "base")
    _same(read, made)
    untrained = Face2ScenePipeline.from_family("sd-turbo", base=tmp_path / "base")
    assert not torch.equal(untrained([_scene()], [_pair()])[0], made([_scene()], [_pair()])[0])
    size = sum(path.stat().st_size for path in (tmp_path / "model/unet_lora").iterdir())
    assert not (tmp_path / "model/unet").exists()
    assert size < 4e6
