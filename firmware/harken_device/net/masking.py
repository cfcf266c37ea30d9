"""Keys that mask what a WebSocket client sends (RFC 6455 section 5.3), each used once."""

import os

import cryptolib
from micropython import const

_ECB = const(1)


class Keys:
    """Masking keys: AES in counter mode under a key of the chip's entropy, four to a block."""

    def __init__(self) -> None:
        self._cipher = cryptolib.aes(os.urandom(16), _ECB)
        self._counter = bytearray(os.urandom(16))
        self._pad = bytearray(16)
        self._used = 16
        self.key = bytearray(4)

    def fresh(self) -> bytearray:
        """A key never used before; overwritten by the next call."""
        if self._used == 16:
            self._used = 0
            for i in range(16):
                self._counter[i] = (self._counter[i] + 1) & 255
                if self._counter[i]:
                    break
            self._cipher.encrypt(self._counter, self._pad)
        for i in range(4):
            self.key[i] = self._pad[self._used + i]
        self._used += 4
        return self.key
