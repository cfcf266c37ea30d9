"""WebSocket masking in place."""

import micropython

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _mpy_shed._mpy_builtins import ptr8

    from harken_device.viper.buffers import Buffer, Writable


@micropython.viper
def _mask(buffer: ptr8, offset: int, length: int, key: ptr8):  # type: ignore[no-untyped-def]
    for n in range(length):
        buffer[offset + n] = int(buffer[offset + n]) ^ int(key[n & 3])


def mask(buffer: "Writable", offset: int, length: int, key: "Buffer") -> None:
    """Mask `length` bytes of `buffer` from `offset` with the 4 bytes of `key`.

    Raises:
        TypeError: `buffer` is read-only.
        ValueError: the range does not lie in the buffer, or the key is not 4 bytes.
    """
    if not 0 <= offset <= len(buffer):
        raise ValueError("offset is past the buffer's end")
    if not 0 <= length <= len(buffer) - offset:
        raise ValueError("length reaches past the buffer's end")
    if len(key) != 4:
        raise ValueError("the key must be 4 bytes")
    if length:
        buffer[offset] = buffer[offset]  # where it is read-only, this says so
    _mask(buffer, offset, length, key)
