"""Ring buffers of a streaming graph: state that is read, joined with new rows, cut and kept.

The reference moves these bytes four times a step; the engine keeps each join where it is, lets
the layer before write the new rows at its end, and shifts it once when the step is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import hkm
from .layout import Layout, View, refused

if TYPE_CHECKING:
    from .tflite import Graph, Model, Operator

__all__ = ["Ring", "find_rings"]


@dataclass(frozen=True)
class Ring:
    """One ring buffer.

    Attributes:
        view: the whole of it, oldest row first.
        kept: rows that stay from step to step.
        start: the int8 that all bytes of the kept rows start with.
    """

    view: View
    kept: int
    start: int

    def region(self, at: int) -> hkm.Region:
        """What a reset fills, the ring lying at `at` in the arena."""
        return hkm.Region(at, self.kept * self.view.columns, self.start)

    def shift(self, at: int) -> hkm.Operation:
        """The operation that forgets the oldest rows."""
        return hkm.Operation(
            kind=hkm.Kind.SHIFT,
            input=at,
            output=at,
            rows=self.view.rows,
            columns=self.view.columns,
            row_stride=self.view.columns,
            outputs=self.view.rows - self.kept,
        )


def find_rings(model: Model, layout: Layout) -> list[Ring]:
    """The ring buffers of the first graph.

    Raises:
        ModelFormatError: it keeps state in another way.
    """
    graph = model.graphs[0]
    start = _start_values(model)
    joins = {
        part: operator
        for operator in graph.operators
        if operator.name == "CONCATENATION"
        for part in operator.inputs
    }
    handles: dict[int, str] = {}
    rings: dict[str, Ring] = {}
    written: set[str] = set()
    for operator in graph.operators:
        if operator.name == "VAR_HANDLE":
            handles[operator.outputs[0]] = _variable(operator)
        elif operator.name == "READ_VARIABLE":
            name = handles[operator.inputs[0]]
            if name in rings:
                raise refused(f"state {name} is read twice in a step, or after it was written")
            state = operator.outputs[0]
            rings[name] = _ring(layout, state, joins.get(state), start.get(name, b""))
        elif operator.name == "ASSIGN_VARIABLE":
            name = handles[operator.inputs[0]]
            if name not in rings or name in written:
                raise refused(f"state {name} is written twice in a step, or before it is read")
            _check_kept(rings[name], layout.view(operator.inputs[1]), name)
            written.add(name)
    if written != set(rings):
        raise refused("a state is read but never written")
    _check_untouched(graph, layout, rings)
    return list(rings.values())


def _start_values(model: Model) -> dict[str, bytes]:
    values: dict[str, bytes] = {}
    for operator in model.graphs[0].operators:
        if operator.name != "CALL_ONCE":
            continue
        start = model.graphs[operator.option(0, 0)]
        handles: dict[int, str] = {}
        for step in start.operators:
            if step.name == "VAR_HANDLE":
                handles[step.outputs[0]] = _variable(step)
            elif step.name == "ASSIGN_VARIABLE":
                values[handles[step.inputs[0]]] = start.tensors[step.inputs[1]].data
            else:
                raise refused(f"its states start from {step.name}, not from constants")
    return values


def _ring(layout: Layout, state: int, join: Operator | None, start: bytes) -> Ring:
    rows, columns = layout.rows_columns(state)
    if join is None or join.inputs[0] != state:
        raise refused("a state is used otherwise than as the oldest rows of a ring buffer")
    joined = join.outputs[0]
    view, old = layout.view(joined), layout.view(state)
    if view.root != joined or old != View(joined, 0, rows, view.columns, view.columns):
        raise refused("a ring buffer does not lie in one piece")
    if len(start) != rows * columns or len(set(start)) != 1:
        raise refused("a state does not start with one value throughout")
    return Ring(view, rows, start[0] - 256 if start[0] > 127 else start[0])


def _check_kept(ring: Ring, written: View, name: str) -> None:
    dropped = ring.view.rows - ring.kept
    columns = ring.view.columns
    newest = View(ring.view.root, dropped * columns, ring.kept, columns, columns)
    if written != newest or dropped < 1:
        raise refused(f"state {name} is not the newest rows of its ring buffer")


def _check_untouched(graph: Graph, layout: Layout, rings: dict[str, Ring]) -> None:
    """A ring must be the only thing in its storage: nothing else is joined around it."""
    roots = [ring.view.root for ring in rings.values()]
    if len(set(roots)) != len(roots):
        raise refused("two states share a ring buffer")
    if layout.view(graph.outputs[0]).root in roots:
        raise refused("its output is part of a state")


def _variable(operator: Operator) -> str:
    return f"{operator.text(0)}/{operator.text(1)}"
