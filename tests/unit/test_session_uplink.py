"""From the device's packets to the agent's samples."""

from __future__ import annotations

import numpy as np
import pytest

from harken.audio.opus import Encoder
from harken.errors import AudioError
from harken.links.link import AudioFrame
from harken.session.uplink import UplinkDecoder


def packets(count: int) -> list[bytes]:
    at = np.arange(count * 320) / 16_000
    pcm = (12_000 * np.sin(2 * np.pi * 300 * at)).astype(np.int16).reshape(count, 320)
    encoder = Encoder(16_000)
    return [encoder.encode(frame.tobytes()) for frame in pcm]


def frame(packet: bytes, sequence: int) -> AudioFrame:
    return AudioFrame(packet, sequence, 0, 0.0)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 22_050])
def test_audio_comes_at_the_rate_of_the_agent(rate: int) -> None:
    decoder = UplinkDecoder(rate, 20)
    pcm = b"".join(
        decoder.decode(frame(packet, number)) for number, packet in enumerate(packets(50))
    )
    assert len(pcm) / 2 == pytest.approx(rate, rel=0.01)
    assert np.frombuffer(pcm, np.int16).astype(float).std() > 5_000


def test_what_was_lost_is_concealed_unless_it_is_long() -> None:
    decoder = UplinkDecoder(16_000, 20)
    sent = packets(30)
    decoder.decode(frame(sent[0], 0))
    assert len(decoder.decode(frame(sent[3], 3))) == 3 * 640
    assert len(decoder.decode(frame(sent[20], 20))) == 640


def test_a_packet_that_is_no_opus_does_not_stop_the_next() -> None:
    decoder = UplinkDecoder(16_000, 20)
    with pytest.raises(AudioError):
        decoder.decode(frame(b"\xff\xff\xff\xff", 0))
    assert len(decoder.decode(frame(packets(1)[0], 1))) == 640
