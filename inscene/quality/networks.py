"""pyiqa's networks, built from verified files and nothing else.

pyiqa's own loaders fetch what they do not find, unpickle it without restriction, and trust what an
earlier run has left in their cache. While a network is built here, its module is given other
loaders: they know the files that were verified, by name, and open them as tensors only. No cache
folder is read or written, and there is nothing left that could ask a network.
"""

from __future__ import annotations

import importlib
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from inscene.weights import find_file
from inscene.weights.manifest import load_manifest
from inscene.weights.model_files import not_a_model
from inscene.weights.pickles import load_pickle

_BUILDING = threading.RLock()
"""The loaders of a module are replaced for all threads."""


class Files:
    """The verified files of a metric, by the names that pyiqa knows them by."""

    def __init__(self, weights: tuple[str, ...]) -> None:
        """Raises ``MissingWeightError`` or ``VerificationError``."""
        manifest = load_manifest()
        self._paths = {
            PurePosixPath(file.path).name: find_file(name, file.path)
            for name in weights
            for file in manifest[name].files
        }

    def named(self, address: str) -> Path:
        """That of a URL, or of a name."""
        name = PurePosixPath(address).name
        if name not in self._paths:
            raise RuntimeError(f"pyiqa asks for {address}, which is none of {[*self._paths]}")
        return self._paths[name]

    def load_into(
        self, network: Any, address: str, strict: bool = True, weight_keys: str | None = None
    ) -> None:
        """What pyiqa's ``load_pretrained_network`` is called for."""
        path = self.named(address)
        what = f"a checkpoint of {type(network).__name__}"
        state = load_pickle(path, what)
        try:
            if weight_keys is not None:
                state = state[weight_keys]
            state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
            unexpected = network.load_state_dict(state, strict=strict).unexpected_keys
        except (RuntimeError, KeyError, TypeError, AttributeError) as error:
            raise not_a_model(path, what, f"{str(error).splitlines()[0]}") from error
        if unexpected:  # strict loading says so itself; a head that is loaded alone would not
            raise not_a_model(path, what, f"It has {unexpected[0]}, which the network has not.")

    def torchvision(self) -> types.SimpleNamespace:
        """The trunks of ``torchvision.models`` that LPIPS and DISTS ask for."""

        def trunk(name: str, file: str) -> Callable[..., Any]:
            def build(weights: str) -> Any:
                import torchvision

                network = torchvision.models.get_model(name, weights=None)
                self.load_into(network, file)
                return network

            return build

        return types.SimpleNamespace(
            alexnet=trunk("alexnet", "alexnet-owt-7be5be79.pth"),
            vgg16=trunk("vgg16", "vgg16-397923af.pth"),
        )


@contextmanager
def building() -> Iterator[None]:
    """One network at a time, without gradients; the caller's random numbers stay as they are."""
    import torch

    with _BUILDING, torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def replaced(module: types.ModuleType, **names: Any) -> Iterator[None]:
    """Names of a module that mean something else for a while."""
    before = {name: getattr(module, name) for name in names}
    for name, value in names.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def options_of(metric: str) -> dict[str, Any]:
    """How pyiqa itself builds its metric of this name."""
    configs: Mapping[str, Any] = importlib.import_module(
        "pyiqa.default_model_configs"
    ).DEFAULT_CONFIGS
    return {name: value for name, value in configs[metric]["metric_opts"].items() if name != "type"}


def untrained_timm() -> types.SimpleNamespace:
    """timm, whose networks the metric's own checkpoint fills: all of them, being strictly loaded.
    (pyiqa first fetches what timm's authors have published, and overwrites it.)"""

    def create_model(name: str, pretrained: bool = False, **options: Any) -> Any:
        import timm

        return timm.create_model(name, pretrained=False, **options)

    return types.SimpleNamespace(create_model=create_model)


def import_with_clip(module: str) -> Any:
    """A module of pyiqa that imports openai-clip 1.0.1, which takes ``packaging`` from setuptools'
    ``pkg_resources``: gone since setuptools 81."""
    with _BUILDING:
        if "clip" in sys.modules:
            return importlib.import_module(module)
        import packaging.version

        before = sys.modules.get("pkg_resources")
        stand_in: Any = types.ModuleType("pkg_resources")
        stand_in.packaging = packaging
        sys.modules["pkg_resources"] = stand_in
        try:
            return importlib.import_module(module)
        finally:
            del sys.modules["pkg_resources"]
            if before is not None:
                sys.modules["pkg_resources"] = before


def load_clip(path: Path) -> Any:
    """OpenAI's CLIP, float32. Its file is a TorchScript archive: numbers, and a program that is not
    run; anything else is refused, a pickle among others."""
    import torch
    from pyiqa.archs.clip_model import build_model

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.load` is (deprecated|not supported)")
        try:
            state = torch.jit.load(str(path), map_location="cpu").state_dict()  # type: ignore[no-untyped-call]
            return build_model(state).float()
        except (RuntimeError, KeyError, ValueError, AssertionError) as error:
            what = "a TorchScript archive of CLIP"
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise not_a_model(path, what, why) from error


def best_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
