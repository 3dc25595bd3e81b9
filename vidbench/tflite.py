"""The constants of a TFLite file as float32 tensors, by the place in the network where they are used.

The file is read as data, by the classes that its schema generates: nothing is run, and no native code sees it.
"""

from __future__ import annotations

import functools
import math
import struct
from pathlib import Path

import numpy as np

from vidbench.records import WeightsError
from vidbench.utils import printable

IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every file
WANTED = {"CONV_2D": ("weight", "bias"), "DEPTHWISE_CONV_2D": ("weight", "bias"), "MUL": ("factor", "factor")}


def read_constants(path: Path) -> dict[str, np.ndarray]:
    """Weights, biases and constant factors of a file's operators, dequantised.

    Quantised values become ``scale * (value - zero point)``, with one scale or one for each channel.

    Returns:
        ``"PLACE|weight"``, ``"PLACE|bias"`` and ``"PLACE|factor"``, where PLACE is the first of the names that the
        converter joined for an operator's output; float32 in TensorFlow's layouts: convolutions (out, H, W, in),
        depthwise ones (1, H, W, out).

    Raises:
        WeightsError: no TFLite file, damage, or constants of a kind that is not read here.
    """
    data = path.read_bytes()
    if data[4:8] != IDENTIFIER:
        raise WeightsError(f"{printable(path)} is no TFLite file: {IDENTIFIER.decode()} is not at its fourth byte.")
    from ai_edge_litert import schema_py_generated as schema

    try:
        return dict(_constants(schema.Model.GetRootAsModel(data, 0), schema))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, struct.error) as problem:
        reason = printable(problem, 120) or type(problem).__name__
        raise WeightsError(f"{printable(path)} is damaged, or holds what is not read here: {reason}.") from None


def _constants(model, schema):
    graph = model.Subgraphs(0)
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        names = WANTED.get(_operator_names(schema).get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), ""))
        if not names:
            continue
        place = graph.Tensors(operator.Outputs(0)).Name().decode().partition(";")[0]
        inputs = [operator.Inputs(slot) for slot in range(operator.InputsLength())]
        for slot, index in enumerate(inputs[-len(names) :]):
            values = _dequantised(model, graph.Tensors(index), schema)
            if values is not None:
                yield f"{place}|{names[slot]}", values


@functools.cache
def _operator_names(schema) -> dict[int, str]:
    return {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


def _dequantised(model, tensor, schema) -> np.ndarray | None:
    """float32 values of a constant; ``None`` for a tensor that is computed."""
    buffer = model.Buffers(tensor.Buffer())
    if not buffer.DataLength():
        return None
    types = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32, schema.TensorType.FLOAT32: np.float32}
    types |= {schema.TensorType.FLOAT16: np.float16}
    shape = [tensor.Shape(axis) for axis in range(tensor.ShapeLength())]
    kind = np.dtype(types[tensor.Type()]).newbyteorder("<")
    if math.prod(shape) * kind.itemsize != buffer.DataLength():
        raise ValueError(f"a constant of shape {shape} in {buffer.DataLength()} bytes")
    values = buffer.DataAsNumpy().view(kind).reshape(shape).astype(np.float32)
    quantised = tensor.Quantization()
    if quantised is None or not quantised.ScaleLength():
        return values
    axes = [1] * len(shape)
    if quantised.ScaleLength() > 1:
        axes[quantised.QuantizedDimension()] = -1
    scale = quantised.ScaleAsNumpy().astype(np.float32).reshape(axes)
    return (values - quantised.ZeroPointAsNumpy().astype(np.float32).reshape(axes)) * scale
