"""The device's audio, one 10 ms hop after the other.

What the application may rely on:

    engine.hop() -> int     0: no microphone block is ready; else `HOP` and these bits:
        WAKE         a wake word was said; `wake_word` is its name
        STOP         the stop word was said over the answer; `wake_word` is its name
        BARGE_IN     somebody has begun to speak over the answer; where it is `interruptible`, the
                     block just written is silent
        SPEECH       speech began in this listening
        SPEECH_END   it ended; `speech_end_sample` and `endpoint_sample` are set
        PACKET       `packet[:packet_length]`, taken at `packet_timestamp_ms`, is to be sent
                     before the next hop
        HEARD        the answer's first audible sample was written; `heard_sample` is when it plays
        DRAINED      the answer is completely played
    engine.now              the device's clock, in samples modulo 2**30 (18.6 hours): the end of
                            the last microphone block
    engine.listen(preroll_ms, voiced_blocks), engine.unlisten()    start and stop encoding what the
                            microphone heard; of the speech, so many blocks were heard before
    engine.answer_begin(), answer_packet(buffer, offset, length) -> bool, answer_end()
    engine.answer_drop()    silence from the next block on
    engine.played_ms, buffered_ms, late              of the answer
    engine.volume           0..100, may be set
    engine.configure(frame_ms)                       20 or 60, once the gateway has said which
    engine.hearing          what cleans the microphone and listens to it (`audio/hearing.py`)
    engine.loopback         the block that the loudspeaker played while the last microphone block
                            was recorded: the reference of the echo canceller

A hop allocates nothing. Samples are counted from the first microphone block; the count wraps so
that it stays a small integer on chips of 32 bits, where a larger one takes memory at each use.
"""

import gc

from micropython import const

from harken_device.audio.hearing import VOICE
from harken_device.audio.playout import Playout
from harken_device.audio.speech import BEGAN, ENDED, Speech
from harken_device.audio.uplink import Uplink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from board_face import Board
    from micropython import RingIO

    from harken_device.audio.hearing import Hearing

HOP = const(1)
WAKE = const(2)
SPEECH = const(4)
SPEECH_END = const(8)
PACKET = const(16)
HEARD = const(32)
DRAINED = const(64)
STOP = const(128)
BARGE_IN = const(256)

_BLOCK = const(160)
_OUTPUT_DELAY_BLOCKS = const(2)
_VOLUME = const(70)
_CLOCK = const(0x3FFFFFFF)  # every sample count is kept to these bits
_WORDS = const(2 | 128 | 256)  # what the hearing reports under the engine's own numbers
_LAST_BLOCK = const(0x3FFFFF60)  # 2**30 - 160: from here on a block takes the count past its end


class Engine:
    """Microphone to packets and words; packets to loudspeaker.

    Args:
        hal: the board.
        hearing: cleans the microphone's sound and listens to it.
        endpoint_ms: silence that ends the user's turn.

    Attributes:
        now: the device's clock: samples taken from the microphone, modulo 2**30.
        loopback: what the loudspeaker played during the last microphone block: int16 [160], 16 kHz.
        interruptible: a voice ends the answer; may be set.
    """

    def __init__(self, hal: "Board", hearing: "Hearing", endpoint_ms: int) -> None:
        gc.collect()  # the codecs' states and the buffers are large pieces of the heap
        self._poll = hal.mic.poll
        self._speaker = hal.speaker
        self.hearing = hearing
        self._mic = bytearray(2 * _BLOCK)
        self._cleaned = bytearray(2 * _BLOCK)
        self._speech = Speech(endpoint_ms)
        self._uplink = Uplink(hearing.delay_ms)
        self._playout = Playout()
        # What is written now is heard two blocks later: three blocks are on their way round.
        self._outs = [bytearray(2 * _BLOCK) for _ in range(_OUTPUT_DELAY_BLOCKS + 1)]
        self._out = 0  # the last that was written
        self.loopback = self._outs[0]
        self.interruptible = False
        self._audible = False
        self._volume = _VOLUME
        self.volume = _VOLUME
        self.now = 0
        self.packet = self._uplink.packet
        self.speech_end_sample = 0
        self.endpoint_sample = 0
        self.heard_sample = 0

    def hop(self) -> int:
        """Take one microphone block, if there is one, and write one loudspeaker block."""
        mic = self._mic
        if not self._poll(mic):
            return 0
        now = self.now
        self.now = now + _BLOCK if now < _LAST_BLOCK else now - _LAST_BLOCK
        uplink, playout = self._uplink, self._playout
        # What was written two blocks ago; the slot after it takes the next block.
        last = self._out
        self.loopback = self._outs[last - 1 if last > 0 else _OUTPUT_DELAY_BLOCKS]
        heard = self.hearing.step(mic, self.loopback, playout.playing, self._cleaned)
        if heard & BARGE_IN and self.interruptible:
            playout.drop()
        events = HOP | heard & _WORDS | self._play()
        uplink.put(self._cleaned)
        if uplink.listening:
            events |= self._follow(heard & VOICE != 0)
            if uplink.step():
                events |= PACKET
        return events

    def _play(self) -> int:
        self._out = self._out + 1 if self._out < _OUTPUT_DELAY_BLOCKS else 0
        out = self._outs[self._out]
        first = self._playout.block(out)
        self._speaker.write(out)
        if first >= 0 and self._audible is False:
            self._audible = True
            ahead = (_OUTPUT_DELAY_BLOCKS - 1) * _BLOCK + first
            self.heard_sample = self.now + ahead & _CLOCK
            return HEARD
        return DRAINED if self._playout.drained else 0

    def _follow(self, voice: bool) -> int:
        change = self._speech.step(voice)
        if change == BEGAN:
            return SPEECH
        if change == ENDED:
            self.endpoint_sample = self.now
            self.speech_end_sample = self.now - self._speech.silent_blocks * _BLOCK & _CLOCK
            return SPEECH_END
        return 0

    @property
    def wake_word(self) -> str:
        """The wake or stop word that was said last."""
        return self.hearing.words.name

    @property
    def packet_length(self) -> int:
        """Bytes of `packet` that count."""
        return self._uplink.packet_length

    @property
    def packet_timestamp_ms(self) -> int:
        """Device time of the packet's first sample."""
        return self._uplink.packet_timestamp_ms

    @property
    def played_ms(self) -> int:
        """Of the answer, really played."""
        return self._playout.played_ms

    @property
    def buffered_ms(self) -> int:
        """Of the answer, received and not yet written to the loudspeaker."""
        return self._playout.buffered_ms

    @property
    def late(self) -> int:
        """Frames of the answer that were not there when their time came."""
        return self._playout.late

    @property
    def volume(self) -> int:
        """Of the loudspeaker, 0..100."""
        return self._volume

    @volume.setter
    def volume(self, volume: int) -> None:
        self._volume = max(0, min(100, volume))
        self._playout.loudness(self._volume)

    @property
    def packets(self) -> "RingIO":
        """The memory of the answer's packets, in which outside answers the user's may wait."""
        return self._playout.packets

    def configure(self, frame_ms: int) -> None:
        """Set the length of uplink packets.

        Raises:
            ValueError: not 20 or 60.
        """
        self._uplink.configure(frame_ms)

    def listen(self, preroll_ms: int, voiced_blocks: int = 0) -> None:
        """The user's turn may begin; packets follow, from `preroll_ms` ago on.

        Args:
            preroll_ms: as far as the ring reaches.
            voiced_blocks: of the user's speech that were heard before.
        """
        self._speech.listen(voiced_blocks)
        self._uplink.listen(preroll_ms)

    def unlisten(self) -> None:
        """No more packets."""
        self._uplink.unlisten()

    def answer_begin(self) -> None:
        """An answer's packets follow."""
        self._audible = False
        self._playout.begin()

    def answer_packet(self, buffer: bytearray, offset: int, length: int) -> bool:
        """Take one Opus packet of the answer; False where it is refused."""
        return self._playout.packet(buffer, offset, length)

    def answer_end(self) -> None:
        """No more packets of this answer."""
        self._playout.end()

    def answer_drop(self) -> None:
        """The answer is not wanted any more: silence from the next block on."""
        self._playout.drop()
