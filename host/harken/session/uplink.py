"""From the device's Opus to the agent's PCM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harken.audio.opus import RATES, Decoder
from harken.audio.pcm import Resampler
from harken.errors import AudioError

if TYPE_CHECKING:
    from harken.links.link import AudioFrame

__all__ = ["UplinkDecoder"]

_MOST_CONCEALED = 5
"""Packets lost in a row that are concealed; a longer gap is better left out than invented."""


class UplinkDecoder:
    """Decodes what the microphone sent straight to the rate that the agent wants.

    Args:
        rate: samples a second wanted.
        frame_ms: length of the device's packets.

    Raises:
        AudioError: Opus cannot be brought to this rate.
    """

    def __init__(self, rate: int, frame_ms: int) -> None:
        direct = rate in RATES
        self._decoder = Decoder(rate if direct else 24_000)
        self._resampler = None if direct else Resampler(24_000, rate)
        self._frame_ms = frame_ms
        self._next: int | None = None

    def decode(self, frame: AudioFrame) -> bytes:
        """The samples of one packet, after what may have been in those lost just before it.

        Raises:
            AudioError: it is not Opus; the next one can be decoded all the same.
        """
        pcm = b""
        if self._next is not None and 0 < frame.sequence - self._next <= _MOST_CONCEALED:
            lost = frame.sequence - self._next
            pcm = b"".join(self._decoder.conceal(self._frame_ms) for _ in range(lost))
        self._next = frame.sequence + 1
        try:
            pcm += self._decoder.decode(frame.packet)
        except AudioError:
            self._decoder.reset()
            raise
        return pcm if self._resampler is None else self._resampler.feed(pcm)

    def reset(self) -> None:
        """What comes now has nothing to do with what came before."""
        self._next = None
        self._decoder.reset()
        if self._resampler is not None:
            self._resampler.reset()
