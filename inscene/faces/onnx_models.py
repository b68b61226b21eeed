"""Sessions of onnxruntime: the one place that opens an ONNX model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from inscene.errors import MachineError
from inscene.weights.model_files import check_exists, not_a_model

INSTALL = "Run: pip install 'inscene[gallery]'"


def open_session(onnx: Path, *, threads: int | None = None) -> Any:
    """An ``onnxruntime.InferenceSession``, on CUDA where this onnxruntime has it, else on the CPU.

    ``threads`` work on one model; None leaves their number to onnxruntime: the physical cores.
    Raises ``MachineError`` without onnxruntime, and for a file that is missing or no ONNX model.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported
    try:
        import onnxruntime
    except ImportError as error:
        raise missing("onnxruntime", error) from error
    check_exists(onnx)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: a warning a session is no news to a user
    options.inter_op_num_threads = 1
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(onnx), options, providers=_providers(onnxruntime))
    except Exception as error:  # its errors have no base class of their own
        raise not_a_model(onnx, "a valid ONNX model", f"{error}.") from error


def missing(package: str, error: ImportError) -> MachineError:
    """The error for a package that an ONNX model needs."""
    return MachineError(f"ONNX models need {package}", why=f"{error}.", next_step=INSTALL)


def shapes_of(session: Any) -> str:
    """Of the inputs and outputs, for error messages; names and None are axes of any length."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return f"It maps {[i.shape for i in inputs]} to {len(outputs)} × {outputs[0].shape}."


def _providers(onnxruntime: Any) -> list[str]:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return ["CPUExecutionProvider"]
    onnxruntime.preload_dlls()  # CUDA's libraries may be those that torch's wheels brought
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]
