"""Opus through libopus: what goes in comes out, and garbage is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken.audio import opus
from harken.errors import AudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tone(rate: int, ms: int, hz: float = 440.0) -> NDArray[np.int16]:
    at = np.arange(rate * ms // 1000) / rate
    return (8_000 * np.sin(2 * np.pi * hz * at)).astype(np.int16)


@pytest.mark.parametrize("frame_ms", [20, 40, 60])
@pytest.mark.parametrize(
    ("rate", "out_rate"), [(16_000, 16_000), (16_000, 24_000), (24_000, 16_000)]
)
def test_a_tone_survives(rate: int, out_rate: int, frame_ms: int) -> None:
    encoder = opus.Encoder(rate, bitrate=32_000, complexity=5, frame_ms=frame_ms)
    decoder = opus.Decoder(out_rate)
    pcm = tone(rate, 1_200)
    frames = pcm.reshape(-1, encoder.frame_samples)
    out = np.frombuffer(
        b"".join(decoder.decode(encoder.encode(frame.tobytes())) for frame in frames), np.int16
    )
    assert out.size == out_rate * 1_200 // 1000
    spectrum = np.abs(np.fft.rfft(out[out_rate // 5 : -out_rate // 5] * 1.0))
    assert np.argmax(spectrum) * out_rate / (2 * (spectrum.size - 1)) == pytest.approx(440, abs=2)
    assert np.abs(out).max() == pytest.approx(8_000, rel=0.2)


def test_encode_takes_any_buffer_and_encode_into_writes_the_same() -> None:
    pcm = tone(16_000, 20).tobytes()
    packets: set[bytes] = set()
    for given in (pcm, bytearray(pcm), memoryview(pcm), memoryview(pcm).cast("h")):
        packets.add(opus.Encoder(16_000).encode(given))
    assert len(packets) == 1
    packet = packets.pop()
    out = memoryview(bytearray(200))
    size = opus.Encoder(16_000).encode_into(pcm, out)
    assert out[:size] == packet
    with pytest.raises(AudioError, match="the buffer 5"):
        opus.Encoder(16_000).encode_into(pcm, out[:5])


def test_reset_makes_a_codec_as_new() -> None:
    encoder, decoder = opus.Encoder(16_000), opus.Decoder(16_000)
    frames = [tone(16_000, 20, hz) for hz in (300, 900, 500)]
    packets = [encoder.encode(frame.tobytes()) for frame in frames]
    sound = [decoder.decode(packet) for packet in packets]
    encoder.reset()
    decoder.reset()
    assert [encoder.encode(frame.tobytes()) for frame in frames] == packets
    assert [decoder.decode(packet) for packet in packets] == sound


def test_tune_changes_the_bitrate_from_the_next_packet_on() -> None:
    encoder = opus.Encoder(16_000, bitrate=64_000)
    noise = np.random.default_rng(1).integers(-8_000, 8_000, 320).astype(np.int16)
    rich = [len(encoder.encode(noise.tobytes())) for _ in range(10)][-1]
    encoder.tune(bitrate=8_000, complexity=0)
    poor = [len(encoder.encode(noise.tobytes())) for _ in range(10)][-1]
    assert poor < rich / 2
    with pytest.raises(AudioError, match="refuses 99"):
        encoder.tune(complexity=99)


@pytest.mark.parametrize("frame_ms", [5, 20, 60, 120])
def test_packet_ms_reads_the_header(frame_ms: int) -> None:
    encoder = opus.Encoder(16_000, frame_ms=frame_ms)
    assert opus.packet_ms(encoder.encode(tone(16_000, frame_ms).tobytes())) == frame_ms


def test_a_lost_packet_is_concealed_with_its_length_and_goes_on_sounding() -> None:
    encoder, decoder = opus.Encoder(16_000), opus.Decoder(16_000)
    for frame in tone(16_000, 400).reshape(-1, 320):
        decoder.decode(encoder.encode(frame.tobytes()))
    concealed = np.frombuffer(decoder.conceal(20), np.int16)
    assert concealed.size == 320
    assert np.abs(concealed).max() > 1_000
    assert len(decoder.conceal(5_000)) == 2 * 16_000 * opus.MAX_MS // 1000
    with pytest.raises(AudioError, match=r"2\.5 ms"):
        decoder.conceal(7)


@pytest.mark.parametrize("bad", [b"", b"\xff\xff\xff", bytes(opus.MAX_PACKET + 1)])
def test_garbage_is_an_audio_error_and_the_decoder_goes_on(bad: bytes) -> None:
    decoder = opus.Decoder(16_000)
    with pytest.raises(AudioError):
        decoder.decode(bad)
    with pytest.raises(AudioError):
        opus.packet_ms(bad)
    good = opus.Encoder(16_000).encode(tone(16_000, 20).tobytes())
    assert len(decoder.decode(good)) == 640


def test_wrong_sizes_and_rates_are_refused() -> None:
    with pytest.raises(AudioError, match="44100"):
        opus.Encoder(44_100)
    with pytest.raises(AudioError, match="no rate of 11025"):
        opus.Decoder(11_025)
    with pytest.raises(AudioError, match="no frames of 30 ms"):
        opus.Encoder(16_000, frame_ms=30)
    with pytest.raises(AudioError, match="640 bytes, not 10"):
        opus.Encoder(16_000).encode(bytes(10))
    with pytest.raises(AudioError, match="640 bytes, not 642"):
        opus.Encoder(16_000).encode(bytes(642))
    with pytest.raises(AudioError, match="refuses"):
        opus.Encoder(16_000, complexity=11)


def test_the_system_library_serves_where_the_wheel_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_wheel(_name: str) -> None:
        return None

    def find_library(name: str) -> str:
        return f"lib{name}.so.0"

    monkeypatch.setattr("importlib.util.find_spec", no_wheel)
    monkeypatch.setattr("ctypes.util.find_library", find_library)
    assert opus._library_path() == "libopus.so.0"
