"""The microphone's ring and its packets. Runs in MicroPython."""

from harken_opus import Decoder
from sounds import BLOCK, loudness, tone

from harken_device.audio.uplink import Uplink


def hear(uplink, blocks, start=0):
    for n in range(blocks):
        uplink.put(tone(BLOCK, (start + n) * BLOCK))


def case_nothing_is_encoded_unless_listening():
    uplink = Uplink()
    hear(uplink, 10)
    assert not uplink.step()
    assert not uplink.listening


def case_packets_begin_before_listening_did_and_have_no_gap():
    uplink = Uplink()
    hear(uplink, 50)
    uplink.listen(160)
    stamps = []
    for n in range(60):
        hear(uplink, 1, 50 + n)
        if uplink.step():
            stamps.append(uplink.packet_timestamp_ms)
    assert stamps[0] == 340  # 500 - 160, on the grid of 20 ms
    assert stamps == list(range(340, stamps[-1] + 1, 20))
    assert stamps[-1] == 1080  # it has caught up


def case_the_preroll_is_what_was_heard():
    uplink = Uplink()
    for n in range(50):
        amplitude = 8000 if n < 40 else 0
        uplink.put(tone(BLOCK, n * BLOCK, amplitude))
    uplink.listen(200)
    decoder, pcm = Decoder(16000), bytearray(640)
    levels = []
    while uplink.step():
        decoder.decode(uplink.packet, uplink.packet_length, pcm, 320)
        levels.append(loudness(pcm))
    assert levels[3] > 4000 and levels[-1] < 500, levels


def case_a_long_preroll_is_what_there_is():
    uplink = Uplink()
    hear(uplink, 3)
    uplink.listen(500)
    assert uplink.step()
    assert uplink.packet_timestamp_ms == 0
    hear(uplink, 200)
    uplink.listen(100_000)
    assert uplink.step()
    assert 2030 - 360 <= uplink.packet_timestamp_ms <= 2030 - 300


def case_uplink_frames_of_sixty_milliseconds():
    uplink = Uplink()
    uplink.configure(60)
    hear(uplink, 31)
    uplink.listen(0)
    stamps = []
    for _ in range(30):
        hear(uplink, 1)
        if uplink.step():
            stamps.append(uplink.packet_timestamp_ms)
    assert stamps == [300, 360, 420, 480, 540]


def case_other_frame_lengths_are_refused():
    try:
        Uplink().configure(40)
    except ValueError:
        return
    raise AssertionError("taken")


def case_the_frame_length_may_change_while_listening():
    uplink = Uplink()
    hear(uplink, 31)
    uplink.listen(0)
    uplink.configure(60)
    count = 0
    for _ in range(60):
        hear(uplink, 1)
        count += uplink.step()
    assert 9 <= count <= 11


def case_the_packets_of_cleaned_sound_are_stamped_with_its_own_time():
    uplink = Uplink(10)
    hear(uplink, 50)
    uplink.listen(160)
    assert uplink.step() and uplink.packet_timestamp_ms == 330
    fresh = Uplink(10)
    fresh.listen(0)
    hear(fresh, 2)
    assert fresh.step() and fresh.packet_timestamp_ms == 2**30 - 10
