"""Whatever a device sends as Opus, only `AudioError` comes out."""

from __future__ import annotations

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harken.audio import opus
from harken.errors import AudioError


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=300), max_size=5), st.sampled_from(opus.RATES))
def test_any_packets(packets: list[bytes], rate: int) -> None:
    decoder = opus.Decoder(rate)
    for packet in packets:
        with contextlib.suppress(AudioError):
            ms = opus.packet_ms(packet)
            assert 0 < ms <= opus.MAX_MS
            assert len(decoder.decode(packet)) == 2 * rate * ms / 1000
    assert len(decoder.conceal(20)) == 2 * rate // 50
