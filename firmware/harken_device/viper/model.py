"""The int8 engine, as `firmware/native/core/int8_engine.c` runs packed models."""

from harken_device.audio.samples import copy
from harken_device.viper.buffers import check_room
from harken_device.viper.kernels import dense, depthwise, fill, look_up, move, requantise
from harken_device.viper.packed import COPY, DENSE, SHIFT, TABLE, Packed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from harken_device.viper.buffers import Buffer, Writable
    from harken_device.viper.packed import Step


class Model:
    """An int8 streaming model packed by `harken_models.pack`.

    Args:
        model: the packed file; it is used where it lies and must not be changed.

    Raises:
        ValueError: it is not one, is damaged, or does not fit the engine.
    """

    def __init__(self, model: "Buffer") -> None:
        self._packed = Packed(model)
        self._model = model
        self._size = len(model)
        most = max([step.outputs for step in self._packed.steps] + [1])
        self._sums = bytearray(4 * most)
        self._arena = bytearray(self._packed.arena_size)
        self._rows = 0
        self.reset()

    def step(self, row: "Buffer") -> int:
        """Take 40 int8; -1 until a stride of rows is together, else the first output, 0..255.

        Raises:
            ValueError: `row` is too short, or the model's buffer was resized.
        """
        packed = self._packed
        if len(row) < packed.features:
            raise ValueError("the row is shorter than 40 features")
        self._check_size()
        copy(self._arena, packed.input + self._rows * packed.features, row, 0, packed.features)
        self._rows += 1
        if self._rows < packed.stride:
            return -1
        self._rows = 0
        for step in packed.steps:
            self._run(step)
        return self._arena[packed.output]

    def _check_size(self) -> None:
        if len(self._model) != self._size:
            raise ValueError("the model's buffer was resized")

    def _run(self, step: "Step") -> None:
        arena = self._arena
        if step.kind == TABLE:
            look_up(arena, self._model, step.words)
        elif step.kind == SHIFT:
            dropped = step.outputs * step.columns
            kept = step.rows * step.columns - dropped
            move(arena, step.source + dropped, step.source, kept)
        elif step.kind == COPY:
            self._copy(step)
        else:
            filters = dense if step.kind == DENSE else depthwise
            for position in range(step.positions):
                filters(arena, self._model, step.words, position, self._sums)
                requantise(self._sums, self._model, step.words, position, arena)

    def _copy(self, step: "Step") -> None:
        for position in range(step.positions):
            source = step.source + position * step.source_step
            target = step.target + position * step.target_step
            for _ in range(step.rows):
                move(self._arena, source, target, step.columns)
                source += step.row_stride
                target += step.columns

    def outputs(self, out: "Writable") -> int:
        """Copy what the last stride gave, a byte an output; return how many.

        Raises:
            TypeError: `out` is read-only.
            ValueError: it is too short, or the model's buffer was resized.
        """
        self._check_size()
        count: int = self._packed.outputs
        check_room(out, count, "the buffer is shorter than the model's outputs")
        for n in range(count):
            out[n] = self._arena[self._packed.output + n]
        return count

    def reset(self) -> None:
        """Make it as new."""
        self._rows = 0
        fill(self._arena, 0, self._packed.arena_size, 0)
        for at, length, value in self._packed.regions:
            fill(self._arena, at, length, value)

    def stride(self) -> int:
        """Rows in a stride."""
        return self._packed.stride
