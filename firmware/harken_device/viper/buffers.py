"""What a caller passes, measured: viper would read and write past any end."""

import micropython

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _mpy_shed._mpy_builtins import ptr8

    Buffer = bytes | bytearray | memoryview
    Writable = bytearray | memoryview

HOP_BYTES = 320


@micropython.viper
def address(buffer: ptr8) -> int:
    """Where a buffer lies, modulo 4."""
    return int(buffer) & 3


def check_hop(pcm: "Buffer") -> None:
    """See that `pcm` holds 160 samples.

    Raises:
        ValueError: it is shorter, or starts at an odd address.
    """
    if len(pcm) < HOP_BYTES:
        raise ValueError("the PCM buffer is shorter than 160 samples")
    if address(pcm) & 1:
        raise ValueError("the PCM buffer must start at an even address")


def check_room(out: "Writable", size: int, message: str) -> None:
    """See that `size` bytes can be written into `out`.

    Raises:
        TypeError: it is read-only.
        ValueError: it is shorter; says `message`.
    """
    if len(out) < size:
        raise ValueError(message)
    out[0] = out[0]  # where it is read-only, this says so


def check_out(pcm: "Writable") -> None:
    """See that 160 samples can be written into `pcm`.

    Raises:
        TypeError: it is read-only.
        ValueError: it is shorter, or starts at an odd address.
    """
    check_hop(pcm)
    pcm[0] = pcm[0]  # where it is read-only, this says so
