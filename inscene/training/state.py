"""All that a step changes, as a folder of two files: numbers in ``state.safetensors``, the rest in
``state.json``. Nothing in it can run when it is read.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from inscene.errors import VerificationError

TENSORS, TREE = "state.safetensors", "state.json"
State = Mapping[str, Any]
"""Mappings, lists, tuples, tensors, strings, numbers, booleans and None, in any depth: what
``state_dict()`` gives of a module, of an optimiser, and of what is made of them."""


def save_state(state: State, folder: Path) -> None:
    """Write the two files into an existing folder. Raises ``OSError``."""
    tensors: dict[str, Tensor] = {}
    tree = _taken_apart(state, "", tensors)
    save_tensors(tensors, folder / TENSORS)
    document = {"tree": tree, "sha256": _sha256(folder / TENSORS)}
    # NaN and infinities are written as Python reads them back; nobody else reads this file.
    (folder / TREE).write_text(json.dumps(document), encoding="utf-8")


def load_state(folder: Path) -> dict[str, Any]:
    """Exactly what was saved, all tensors on the CPU and in memory of their own. Raises
    ``VerificationError`` where a file is missing, torn or another one."""
    try:
        document = json.loads((folder / TREE).read_text(encoding="utf-8"))
        if _sha256(folder / TENSORS) != document["sha256"]:
            raise ValueError(f"{TENSORS} is not the file that was saved")
        # Copied: what is read lies unaligned in the file, and rounding in kernels can depend on it.
        tensors = {name: one.clone() for name, one in load_file(folder / TENSORS).items()}
        found: dict[str, Any] = _put_together(document["tree"], tensors)
        return found
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise VerificationError(
            "the state of training cannot be read",
            where=str(folder),
            why=f"{error}.",
            next_step="Delete this checkpoint: the same command then resumes from the one before.",
        ) from error


def save_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """As safetensors, also where some share memory. Raises ``OSError``, which a full disk is."""
    plain, seen = {}, set[int]()
    for name, tensor in tensors.items():
        one = tensor.detach().cpu().contiguous()
        address = one.untyped_storage().data_ptr()
        if address in seen:
            one = one.clone()
        seen.add(address)
        plain[name] = one
    try:
        save_file(plain, file)
    except SafetensorError as error:  # it has no errno of its own
        full = "os error 28" in str(error) or "No space left" in str(error)
        code = errno.ENOSPC if full else errno.EIO
        raise OSError(code, f"{error}", str(file)) from error


def rng_state() -> dict[str, Any]:
    """Of torch's own generators."""
    begun = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if begun else []
    return {"cpu": torch.get_rng_state(), "cuda": list(cuda)}


def set_rng_state(state: Mapping[str, Any]) -> None:
    """What :func:`rng_state` gave. Those of GPUs are set where there are as many."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _taken_apart(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """As JSON; what JSON has no word for is an object of one key that begins with ``$``."""
    if isinstance(value, Tensor):
        while name in tensors:  # the key "a.b", and b in a
            name += "'"
        tensors[name] = value
        return {"$tensor": name}
    if isinstance(value, Mapping):
        # Pairs, since an optimiser's keys are numbers.
        return {
            "$map": [
                [key, _taken_apart(one, f"{name}.{key}".lstrip("."), tensors)]
                for key, one in value.items()
            ]
        }
    if isinstance(value, list | tuple):
        items = [_taken_apart(one, f"{name}.{at}", tensors) for at, one in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name}: {type(value).__name__} cannot be part of a state")


def _put_together(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_put_together(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "$tensor":
        return tensors[inside]
    if kind == "$tuple":
        return tuple(_put_together(one, tensors) for one in inside)
    return {key: _put_together(one, tensors) for key, one in inside}
