"""Packs microWakeWord v2 models (`.tflite`) for the int8 engine (`.hkm`).

What the reference computes in floating point when it loads a model (requantisation factors,
activation bounds, the sigmoid) is computed here, once, into integers: the device needs no float.
The input's zero point moves into the biases, so that a layer is a plain dot product.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from harken.errors import ModelError, ModelFormatError, ModelMissingError

from . import hkm, tflite
from .layout import Layout, Lifetime, View, place, refused
from .micro_manifest import checked_manifest
from .rings import Ring, find_rings
from .steps import BUILDERS, PROBABILITY_SCALE, Step, composed, copy, one_scale

if TYPE_CHECKING:
    from pathlib import Path

    from .tflite import Graph

__all__ = ["FEATURES", "FEATURE_SCALE", "FEATURE_ZERO_POINT", "pack", "pack_file"]

FEATURES = 40
FEATURE_SCALE = 26 / 255
FEATURE_ZERO_POINT = -128
_SCALE_TOLERANCE = 1e-6
_MOVES = {
    "ASSIGN_VARIABLE",
    "CALL_ONCE",
    "CONCATENATION",
    "READ_VARIABLE",
    "RESHAPE",
    "SPLIT_V",
    "STRIDED_SLICE",
    "VAR_HANDLE",
}
_LARGEST_PACKED = 131_072
_NAME_ONE = "name a .tflite that has its .json beside it"


def pack(model: bytes) -> bytes:
    """Pack a streaming `.tflite` model for the engine.

    Args:
        model: the file, as microWakeWord v2 publishes them: int8 in, [1, stride, 40].

    Returns:
        The `.hkm` file.

    Raises:
        ModelFormatError: the file is damaged, or the engine cannot run it; says why.
    """
    read = tflite.read(model)
    try:
        return hkm.encode(_Packing(read).packed())
    except (ValueError, LookupError, ArithmeticError, RecursionError) as error:
        raise refused("its operators do not fit together") from error
    except struct.error as error:
        raise refused("a layer is too large for the packed format") from error


def pack_file(model: Path, folder: Path) -> Path:
    """Pack `NAME.tflite` into `folder` as `NAME.hkm`, with its manifest `NAME.json` beside it.

    The manifest is microWakeWord's, which lies beside the model: the device takes from it the
    cutoff and the window over which it averages. It is copied as it is, so that it still serves
    who reads the `.tflite`; the device finds both files by their name.

    Args:
        model: the model; its manifest lies beside it.
        folder: may be the model's own; made where it is missing.

    Returns:
        The packed file.

    Raises:
        ModelMissingError: the model or its manifest is not there.
        ModelFormatError: one of them cannot be used by the device; says why.
        ModelError: the folder cannot be written.
    """
    if model.suffix != ".tflite":
        raise ModelFormatError(f"{model} is no .tflite", hint=_NAME_ONE)
    beside = model.with_suffix(".json")
    for path in (model, beside):
        if not path.is_file():
            raise ModelMissingError(f"{path} is not there", hint=_NAME_ONE)
    manifest = checked_manifest(beside)
    content = pack(model.read_bytes())
    if len(content) > _LARGEST_PACKED:
        raise refused(f"packed it has {len(content)} bytes, the device takes {_LARGEST_PACKED}")
    packed = folder / f"{model.stem}.hkm"
    copied = packed.with_suffix(".json")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        packed.write_bytes(content)
        if not (copied.exists() and copied.samefile(beside)):
            copied.write_bytes(manifest)
    except OSError as error:
        raise ModelError(
            f"{error.filename or folder} cannot be written: {error.strerror}",
            hint="name another folder",
        ) from error
    return packed


class _Packing:
    """One pass over the first graph of a model."""

    def __init__(self, model: tflite.Model) -> None:
        self._graph: Graph = model.graphs[0]
        if len(self._graph.inputs) != 1 or len(self._graph.outputs) != 1:
            raise refused("it has not exactly one input and one output")
        self._layout = Layout(self._graph)
        self._stride = self._check_input()
        self._rings: list[Ring] = find_rings(model, self._layout)
        self._orders: list[int] = []
        self._steps: list[Step] = []

    def packed(self) -> hkm.Packed:
        """The model with every tensor in its place."""
        for order, operator in enumerate(self._graph.operators):
            for part, link in self._layout.copies.get(order, []):
                source = self._layout.view(part)
                target = self._layout.inside(link, source.rows, source.columns)
                self._add(order, copy(source, target))
            if operator.name in BUILDERS:
                self._add(order, BUILDERS[operator.name](self._graph, self._layout, operator))
            elif operator.name not in _MOVES:
                raise refused(f"it uses {operator.name}, which the engine does not have")
        output = self._finish_output()
        offsets, arena = place(self._lifetimes(output))
        if arena > hkm.MAX_ARENA:
            raise refused(f"it needs {arena} bytes of state, more than {hkm.MAX_ARENA}")
        for step in self._steps:
            step.operation.input = _address(step.source, offsets)
            step.operation.output = _address(step.target, offsets)
        shifts = [ring.shift(offsets[ring.view.root]) for ring in self._rings]
        return hkm.Packed(
            stride=self._stride,
            features=FEATURES,
            arena_size=arena,
            input=_address(self._layout.view(self._graph.inputs[0]), offsets),
            output=_address(output, offsets),
            outputs=output.rows * output.columns,
            regions=[ring.region(offsets[ring.view.root]) for ring in self._rings],
            operations=[step.operation for step in self._steps] + shifts,
        )

    def _check_input(self) -> int:
        tensor = self._graph.tensors[self._graph.inputs[0]]
        rows, columns = self._layout.rows_columns(self._graph.inputs[0])
        if tensor.kind != "int8" or columns != FEATURES:
            raise refused(
                f"its input is {tensor.kind} {list(tensor.shape)}, not int8 with {FEATURES} columns"
            )
        scale, zero = one_scale(tensor)
        if abs(scale - FEATURE_SCALE) > _SCALE_TOLERANCE or zero != FEATURE_ZERO_POINT:
            raise refused(
                f"its input has scale {scale:.6f} and zero point {zero}; the speech features come "
                f"with {FEATURE_SCALE:.6f} and {FEATURE_ZERO_POINT}"
            )
        if not self._layout.view(self._graph.inputs[0]).dense:
            raise refused("its input does not lie in one piece")
        return rows

    def _add(self, order: int, step: Step) -> None:
        last = self._steps[-1] if self._steps else None
        if (
            last is not None
            and last.operation.kind == step.operation.kind == hkm.Kind.TABLE
            and last.target == step.source
            and self._readers(step.source.root) == 1
        ):
            # Two functions of one byte are one function of one byte.
            last.operation.weights = composed(last.operation.weights, step.operation.weights)
            last.operation.output_step = step.operation.output_step
            last.target = step.target
            self._orders[-1] = order
        else:
            self._steps.append(step)
            self._orders.append(order)

    def _readers(self, tensor: int) -> int:
        used = sum(operator.inputs.count(tensor) for operator in self._graph.operators)
        return used + self._graph.outputs.count(tensor)

    def _finish_output(self) -> View:
        """Where the last step leaves the answers, as bytes 0..255."""
        number = self._graph.outputs[0]
        tensor = self._graph.tensors[number]
        view = self._layout.view(number)
        wanted = {"int8": -128, "uint8": 0}.get(tensor.kind)
        if wanted is None or one_scale(tensor) != (PROBABILITY_SCALE, wanted):
            raise refused(
                f"its output is {tensor.kind} {list(tensor.shape)}, "
                "not int8 or uint8 in steps of 1/256 from 0"
            )
        if not view.dense:
            raise refused("its output does not lie in one piece")
        last = self._steps[-1] if self._steps else None
        if last is None or last.operation.kind != hkm.Kind.TABLE or last.target != view:
            raise refused("it does not end in LOGISTIC or QUANTIZE")
        if tensor.kind == "int8":
            unsigned = bytes((value + 128) & 0xFF for value in range(-128, 128))
            last.operation.weights = composed(last.operation.weights, unsigned)
        return view

    def _lifetimes(self, output: View) -> list[Lifetime]:
        """When each piece of storage is in use; rows arrive before the first operator."""
        end = len(self._graph.operators)
        orders: dict[int, list[int]] = {}
        for order, step in zip(self._orders, self._steps, strict=True):
            orders.setdefault(step.source.root, []).append(order)
            orders.setdefault(step.target.root, []).append(order)
        orders.setdefault(self._layout.view(self._graph.inputs[0]).root, []).append(-1)
        orders.setdefault(output.root, []).append(end)
        for ring in self._rings:
            orders.setdefault(ring.view.root, []).extend((-1, end))
        return [
            Lifetime(root, self._size(root), min(used), max(used)) for root, used in orders.items()
        ]

    def _size(self, root: int) -> int:
        rows, columns = self._layout.rows_columns(root)
        return rows * columns


def _address(view: View, offsets: dict[int, int]) -> int:
    return offsets[view.root] + view.offset
