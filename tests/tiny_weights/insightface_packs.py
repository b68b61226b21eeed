"""insightface's model packs as they are laid out, with tiny weights.

Names and shapes of inputs and outputs are those of the official files; so insightface's own router
takes each for what it stands for. The detector is no random network: it finds white squares on
black, as :func:`paint_face` paints them, and puts their landmarks at :data:`LANDMARKS`.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

STRIDES_PX = (8, 16, 32)
HALF_SIDE = 2
"""Half the side of a square that the detector finds, in strides: 32, 64 and 128 px."""
LANDMARKS = np.array([[-1, -1], [1, -1], [0, 0.25], [-0.75, 1], [0.75, 1]], np.float32) / HALF_SIDE
"""Where the detector puts landmarks: from the middle of the square, in halves of its side."""


def paint_face(image: np.ndarray, x: float, y: float, side_px: float) -> None:
    """A face for the detector of :func:`write_scrfd`, with its middle at x and y."""
    half = side_px / 2
    rows, columns = slice(round(y - half), round(y + half)), slice(round(x - half), round(x + half))
    image[rows, columns] = 255


def write_scrfd(path: Path) -> None:
    """det_10g.onnx, scrfd_10g_bnkps.onnx: nine outputs, two anchors a place."""
    from onnx import TensorProto, helper

    grey = np.reshape([0.5, 0.3, 0.2], (1, 3, 1, 1))  # red and blue must not be mixed up
    weights = {"grey": grey, **{f"rows_{n}": np.array([-1, n]) for n in (1, 4, 10)}}
    nodes = [helper.make_node("Conv", ["input.1", "grey"], ["brightness"])]
    names: dict[str, list[str]] = {"score": [], "bbox": [], "kps": []}
    for stride in STRIDES_PX:
        # How much brighter the square is than the ring around it: −2..2.
        kernel = np.full((6 * stride, 6 * stride), -1 / (20 * stride**2), np.float32)
        kernel[stride:-stride, stride:-stride] = 1 / (16 * stride**2)
        # The second anchor of a place never has anything to say.
        heads = {
            "score": (np.stack([kernel, 0 * kernel])[:, None] * 6, [-7, -9]),
            "bbox": (np.zeros((8, 1, 1, 1)), [HALF_SIDE] * 8),
            "kps": (np.zeros((20, 1, 1, 1)), np.tile(LANDMARKS.ravel() * HALF_SIDE, 2)),
        }
        for head, (weight, bias) in heads.items():
            name = f"{head}_{stride}"
            weights |= {f"{name}.weight": weight, f"{name}.bias": np.array(bias, float)}
            before, after = (3 * stride, 2 * stride) if head == "score" else (0, 0)
            nodes += [
                helper.make_node(
                    "Conv",
                    ["brightness", f"{name}.weight", f"{name}.bias"],
                    [f"{name}.map"],
                    strides=[stride, stride],
                    pads=[before, before, after, after],
                ),
                helper.make_node("Transpose", [f"{name}.map"], [f"{name}.last"], perm=[0, 2, 3, 1]),
                helper.make_node(
                    "Reshape",
                    [f"{name}.last", f"rows_{len(bias) // 2}"],
                    [f"{name}.raw" if head == "score" else name],
                ),
            ]
            names[head].append(name)
        nodes.append(helper.make_node("Sigmoid", [f"score_{stride}.raw"], [f"score_{stride}"]))
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"n_{name}", width])
        for head, width in (("score", 1), ("bbox", 4), ("kps", 10))
        for name in names[head]
    ]
    _save(path, nodes, weights, ("input.1", [1, 3, "?", "?"]), outputs)


def write_landmarks68(path: Path) -> None:
    """1k3d68.onnx: 1103 points of x, y and z, of which the last 68 are the landmarks."""
    _write_head(path, "data", side_px=192, outputs=("fc1", 3309), seed=68, bn_data=True)


def write_w600k(path: Path, *, seed: int = 600, batch: int | str = "None") -> None:
    """w600k_r50.onnx, glintr100.onnx. Their output says one row, whatever the batch."""
    _write_head(path, "input.1", side_px=112, outputs=("683", 512), seed=seed, batch=batch)


def write_pack_zip(path: Path, name: str) -> None:
    """buffalo_l.zip, which is flat, or antelopev2.zip, which has a folder of its own name."""
    detector, recogniser, inside, seed = {
        "buffalo_l": ("det_10g.onnx", "w600k_r50.onnx", "", 600),
        "antelopev2": ("scrfd_10g_bnkps.onnx", "glintr100.onnx", "antelopev2/", 100),
    }[name]
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(path, "w") as pack:
        folder = Path(temporary)
        write_scrfd(folder / detector)
        write_w600k(folder / recogniser, seed=seed)
        write_landmarks68(folder / "1k3d68.onnx")
        for other, side_px, width in (("2d106det.onnx", 192, 212), ("genderage.onnx", 96, 3)):
            outputs = ("fc1", width)
            _write_head(
                folder / other, "data", side_px=side_px, outputs=outputs, seed=width, bn_data=True
            )
        if inside:
            pack.writestr(zipfile.ZipInfo(inside), b"")
        for file in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(inside + file.name)  # of 1980: the same bytes every time
            pack.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)


def _write_head(
    path: Path,
    source: str,
    *,
    side_px: int,
    outputs: tuple[str, int],
    seed: int,
    bn_data: bool = False,
    batch: int | str = "None",
) -> None:
    """One convolution over tiles of a quarter of the side, then one linear layer. ``bn_data``: made
    for pixels of 0..255, which insightface recognises by a first node of this name."""
    from onnx import TensorProto, helper

    name, width = outputs
    rng = np.random.default_rng(seed)
    tile, gain = side_px // 4, 1 / 255 if bn_data else 1.0
    channels = 2 if width > 512 else 8
    tiles = rng.normal(0, 4 * gain / tile, (channels, 3, tile, tile))
    weights = {
        "tiles": tiles - tiles.mean((2, 3), keepdims=True) * 0.9,  # structure, not brightness
        "linear": rng.normal(0, 0.06, (16 * channels, width)),
        "offset": rng.normal(0, 0.06, width),
    }
    nodes: list[Any] = []
    pixels = source
    if bn_data:
        ones, zeros = np.ones(3), np.zeros(3)
        weights |= {"gamma": ones, "beta": zeros, "mean": zeros, "variance": ones}
        nodes.append(
            helper.make_node(
                "BatchNormalization",
                [source, "gamma", "beta", "mean", "variance"],
                ["normal"],
                name="bn_data",
            )
        )
        pixels = "normal"
    nodes += [
        helper.make_node("Conv", [pixels, "tiles"], ["map"], strides=[tile, tile]),
        helper.make_node("Tanh", ["map"], ["bounded"]),
        helper.make_node("Flatten", ["bounded"], ["flat"]),
        helper.make_node("Gemm", ["flat", "linear", "offset"], [name]),
    ]
    shape = [batch, 3, side_px, side_px]
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width])
    _save(path, nodes, weights, (source, shape), [output])


def _save(
    path: Path,
    nodes: list[Any],
    weights: dict[str, np.ndarray],
    source: tuple[str, list[int | str]],
    outputs: list[Any],
) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    tensors = [
        numpy_helper.from_array(
            weight.astype(np.float32 if weight.dtype.kind == "f" else np.int64), name
        )
        for name, weight in weights.items()
    ]
    source_info = helper.make_tensor_value_info(source[0], TensorProto.FLOAT, source[1])
    graph = helper.make_graph(nodes, path.stem, [source_info], outputs, tensors)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
