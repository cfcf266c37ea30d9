"""The jitter buffer and what it plays. Runs in MicroPython."""

from array import array

from harken_opus import Encoder
from sounds import BLOCK, loudness, packets, tone

from harken_device.audio.playout import Playout


def playing(count, frame=320, volume=100):
    """A playout that has been given an answer of `count` packets."""
    playout = Playout()
    playout.loudness(volume)
    playout.begin()
    for packet in packets(count, frame):
        assert playout.packet(packet, 0, len(packet))
    return playout


def play(playout, blocks):
    out = bytearray(2 * BLOCK)
    levels = []
    for _ in range(blocks):
        playout.block(out)
        levels.append(loudness(out))
    return levels


def case_an_answer_is_played_to_its_end():
    playout = playing(10)
    assert playout.buffered_ms == 200
    playout.end()
    levels = play(playout, 20)
    assert min(levels[4:]) > 4000, levels
    assert playout.late == 0
    assert playout.played_ms == 180  # two blocks are still on their way
    assert not playout.drained
    out = bytearray(2 * BLOCK)
    playout.block(out)
    assert not playout.drained
    playout.block(out)
    assert playout.played_ms == 200 and playout.drained
    playout.block(out)
    assert not playout.drained  # told once


def case_nothing_is_heard_before_the_target_is_there():
    playout = Playout()
    playout.loudness(100)
    playout.begin()
    made = packets(3)
    for packet in made[:2]:
        assert playout.packet(packet, 0, len(packet))
    assert max(play(playout, 10)) == 0
    assert playout.packet(made[2], 0, len(made[2]))
    assert max(play(playout, 6)) > 4000


def case_a_short_answer_plays_when_it_has_ended():
    playout = playing(1)
    assert max(play(playout, 5)) == 0
    playout.end()
    assert max(play(playout, 2)) > 1000


def case_frames_of_sixty_milliseconds():
    playout = playing(4, frame=960)
    assert playout.buffered_ms == 240
    playout.end()
    play(playout, 26)
    assert playout.played_ms == 240


def case_a_gap_is_concealed_then_silent_and_counted():
    playout = playing(10)
    target = playout.target_ms
    play(playout, 20)
    concealed = play(playout, 10)
    assert concealed[0] > 1000, concealed
    assert concealed[9] < concealed[0]
    assert playout.late == 5
    assert max(play(playout, 10)) == 0  # a guess of more than 100 ms is worse than silence
    assert playout.late == 5
    assert playout.played_ms == 200  # what was guessed is not part of the answer
    assert playout.target_ms == target + 40


def case_after_a_gap_it_waits_for_the_target_again():
    playout = playing(5)
    play(playout, 40)
    made = packets(6)
    for packet in made[:2]:
        playout.packet(packet, 0, len(packet))
    assert max(play(playout, 5)) == 0
    for packet in made[2:]:
        playout.packet(packet, 0, len(packet))
    assert max(play(playout, 5)) > 1000


def case_an_end_after_a_gap_drains():
    playout = playing(5)
    play(playout, 40)
    playout.end()
    drained = 0
    for _ in range(5):
        play(playout, 1)
        drained += playout.drained
    assert drained == 1


def case_the_target_shrinks_after_a_clean_answer():
    playout = playing(5)
    play(playout, 40)
    raised = playout.target_ms
    playout.begin()
    for packet in packets(10):
        playout.packet(packet, 0, len(packet))
    playout.end()
    play(playout, 30)
    assert playout.target_ms == raised - 20


def case_dropped_is_silent_in_the_next_block():
    playout = playing(20)
    assert play(playout, 10)[-1] > 4000
    playout.drop()
    assert playout.buffered_ms == 0
    assert max(play(playout, 10)) == 0
    assert playout.played_ms == 100  # with the two blocks that were on their way
    packet = packets(1)[0]
    assert not playout.packet(packet, 0, len(packet))  # late ones of the same answer
    assert not playout.drained


def case_a_new_answer_replaces_the_old():
    playout = playing(20)
    play(playout, 10)
    playout.begin()
    assert playout.buffered_ms == 0 and playout.played_ms == 0
    assert max(play(playout, 5)) == 0


def case_what_is_no_packet_is_refused():
    playout = Playout()
    good = packets(1)[0]
    assert not playout.packet(good, 0, len(good))  # no answer has begun
    playout.begin()
    assert not playout.packet(good, 0, 0)
    assert not playout.packet(bytearray(500), 0, 500)
    assert not playout.packet(bytearray(b"\xff" * 20), 0, 20)  # not Opus
    encoder, out = Encoder(16000, 24000, 0), bytearray(400)
    length = encoder.encode(tone(80), 80, out)  # 5 ms
    assert not playout.packet(out, 0, length)
    assert playout.buffered_ms == 0
    padded = bytearray(7) + good
    assert playout.packet(padded, 7, len(good))
    playout.end()
    assert not playout.packet(good, 0, len(good))


def case_a_flood_is_bounded():
    playout = Playout()
    playout.begin()
    good = packets(1)[0]
    taken = 0
    for _ in range(200):
        taken += playout.packet(good, 0, len(good))
    assert taken == 60
    playout.begin()
    noisy = Encoder(16000, 200000, 0)
    out = bytearray(400)
    length = noisy.encode(tone(320), 320, out)
    taken = 0
    for _ in range(200):
        taken += playout.packet(out, 0, length)
    assert taken > 0 and taken * length <= 7200


def case_a_corrupt_packet_harms_nobody():
    playout = Playout()
    playout.loudness(100)
    playout.begin()
    made = packets(12)
    for i, packet in enumerate(made):
        if i == 5:
            for at in range(1, len(packet)):
                packet[at] ^= 0x5A
        assert playout.packet(packet, 0, len(packet))
    playout.end()
    assert play(playout, 24)[-1] > 2000
    play(playout, 3)
    assert playout.buffered_ms == 0


def case_volume():
    full = play(playing(10, volume=100), 20)[-1]
    half = play(playing(10, volume=50), 20)[-1]
    assert abs(half / full - 0.25) < 0.02, (half, full)
    assert max(play(playing(10, volume=0), 20)) == 0


def case_a_change_of_volume_moves_the_gain_within_a_block():
    playout = playing(30)
    play(playout, 20)
    out = bytearray(2 * BLOCK)
    playout.loudness(0)
    playout.block(out)
    assert loudness(out[:80]) > 3 * loudness(out[240:]) > 0
    playout.block(out)
    assert loudness(out) == 0
    playout.loudness(100)
    playout.block(out)
    assert 3 * loudness(out[:80]) < loudness(out[240:]) < 6000
    playout.block(out)
    assert loudness(out) > 4000


def case_the_first_audible_sample_is_told():
    playout = playing(10)
    out = bytearray(2 * BLOCK)
    first = playout.block(out)
    values = array("h", bytes(out))
    loud = [i for i in range(BLOCK) if abs(values[i]) > 64]
    assert first == (loud[0] if loud else -1)
    silent = playing(10, volume=0)
    assert silent.block(out) == -1
