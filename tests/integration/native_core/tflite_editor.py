"""Edits published models, through the schema that TensorFlow Lite Micro brings along."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

_SCHEMA = "tflite_micro.tensorflow.lite.micro.python.schema_py_generated"


class EditableModel:
    """A `.tflite` taken apart, to be changed and put together again.

    Attributes:
        model: the schema's object for the whole file.
        graph: for its first graph.
        schema: the module with the schema's numbers.
    """

    def __init__(self, model: bytes) -> None:
        if find_spec("tflite_micro") is None or find_spec("flatbuffers") is None:
            pytest.skip("no flatbuffer writer here: run `make setup` (package tflite-micro)")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schema: Any = import_module(_SCHEMA)
            self._builder: Any = import_module("flatbuffers").Builder
        self.schema = schema
        self.model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
        self.graph: Any = self.model.subgraphs[0]

    def operators(self, name: str) -> list[Any]:
        """The operators of a kind, in order."""
        wanted = getattr(self.schema.BuiltinOperator, name)
        return [each for each in self.graph.operators if self._code(each).builtinCode == wanted]

    def rename(self, name: str, to: str) -> None:
        """Make every operator of a kind one of another kind."""
        wanted = getattr(self.schema.BuiltinOperator, name)
        new = getattr(self.schema.BuiltinOperator, to)
        for code in self.model.operatorCodes:
            if code.builtinCode == wanted:
                code.builtinCode = code.deprecatedBuiltinCode = new

    def tensor(self, number: int) -> Any:
        """A tensor of the first graph."""
        return self.graph.tensors[number]

    def data(self, tensor: Any) -> Any:
        """The buffer behind a tensor."""
        return self.model.buffers[tensor.buffer]

    def encoded(self) -> bytes:
        """The file."""
        builder = self._builder(1 << 17)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _code(self, operator: Any) -> Any:
        return self.model.operatorCodes[operator.opcodeIndex]
