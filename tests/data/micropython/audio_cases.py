"""The device's audio, part by part, with the real codec. Runs in MicroPython."""

import gc
import math
from array import array

import micropython
from harken_opus import Decoder, Encoder

from harken_device.audio import samples
from harken_device.audio.playout import Playout
from harken_device.audio.speech import BEGAN, ENDED, Speech
from harken_device.audio.uplink import Uplink
from harken_device.audio.wake import WakeWord

BLOCK = 160


def tone(count, at=0, amplitude=8000):
    return array(
        "h", [int(amplitude * math.sin((at + i) * 2 * math.pi * 400 / 16000)) for i in range(count)]
    )


def loudness(block):
    values = array("h", bytes(block))
    return math.sqrt(sum(value * value for value in values) / len(values))


def packets(count, frame=320, amplitude=8000):
    encoder = Encoder(16000, 24000, 0)
    out = bytearray(400)
    made = []
    for i in range(count):
        length = encoder.encode(tone(frame, i * frame, amplitude), frame, out)
        made.append(bytearray(out[:length]))
    return made


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


# ---------------------------------------------------------------- playout


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
    assert taken > 0 and taken * length <= 8192


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


def case_the_first_audible_sample_is_told():
    playout = playing(10)
    out = bytearray(2 * BLOCK)
    first = playout.block(out)
    values = array("h", bytes(out))
    loud = [i for i in range(BLOCK) if abs(values[i]) > 64]
    assert first == (loud[0] if loud else -1)
    silent = playing(10, volume=0)
    assert silent.block(out) == -1


# ---------------------------------------------------------------- uplink


def hear(uplink, blocks, start=0):
    for n in range(blocks):
        uplink.block[:] = bytes(tone(BLOCK, (start + n) * BLOCK))
        uplink.advance()


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
        uplink.block[:] = bytes(tone(BLOCK, n * BLOCK, amplitude))
        uplink.advance()
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


# ---------------------------------------------------------------- speech


def follow(speech, pattern):
    """`pattern`: (voice, blocks) pairs; the blocks at which something changed."""
    n, changes = 0, []
    for voice, blocks in pattern:
        for _ in range(blocks):
            change = speech.step(voice)
            if change:
                changes.append((n, change))
            n += 1
    return changes


def case_speech_begins_and_ends():
    speech = Speech(500)
    assert follow(speech, [(False, 30), (True, 40), (False, 80)]) == [(41, BEGAN), (119, ENDED)]
    assert speech.silent_blocks >= 50


def case_the_tail_of_the_wake_word_is_no_speech():
    assert follow(Speech(500), [(True, 8), (False, 200)]) == []


def case_a_click_is_no_speech():
    assert follow(Speech(500), [(False, 20), (True, 2), (False, 20)] * 10) == []


def case_pauses_within_a_sentence_do_not_end_it():
    pattern = [(True, 30), (False, 45), (True, 30), (False, 60)]
    assert [change for _, change in follow(Speech(500), pattern)] == [BEGAN, ENDED]


def case_a_click_does_not_prolong_the_turn():
    pattern = [(True, 30), (False, 30), (True, 1), (False, 30)]
    changes = follow(Speech(500), pattern)
    assert changes[-1] == (79, ENDED), changes


def case_it_ends_once():
    changes = follow(Speech(500), [(True, 30), (False, 500)])
    assert len(changes) == 2


# ---------------------------------------------------------------- wake word


class _Probabilities:
    """Stands for a model: gives what it was told, every third row."""

    def __init__(self, values):
        self.values = values
        self.rows = 0

    def step(self, row):
        self.rows += 1
        if self.rows % 3:
            return -1
        return self.values[min(self.rows // 3 - 1, len(self.values) - 1)]

    def stride(self):
        return 3


def word(values, cutoff=0.8, window=5):
    return WakeWord(_Probabilities(values), "test", cutoff, window)


def fires(decided, rows):
    return [n for n in range(rows) if decided.step(bytearray(40))]


def case_one_high_probability_is_not_enough():
    values = [0] * 50 + [255] + [0] * 50
    assert fires(word(values), 300) == []


def case_a_window_of_high_probabilities_is():
    values = [0] * 50 + [255] * 8 + [0] * 50
    assert len(fires(word(values), 300)) == 1


def case_it_is_deaf_for_a_second_after_it_fired():
    heard = fires(word([255] * 300), 600)
    assert all(b - a >= 100 for a, b in zip(heard, heard[1:])), heard  # noqa: RUF007  # MicroPython
    assert 4 <= len(heard) <= 6


def case_a_mean_below_the_cutoff_is_no_word():
    assert fires(word([200] * 300), 600) == []


def case_the_window_and_cutoff_are_checked():
    for cutoff, window in ((0.0, 5), (1.5, 5), (0.5, 0), (0.5, 65)):
        try:
            word([], cutoff, window)
        except ValueError:
            continue
        raise AssertionError((cutoff, window))


# ---------------------------------------------------------------- loops over samples


def case_amplify_moves_its_gain_in_a_line():
    pcm = array("h", [1000] * 160)
    out = array("h", [0] * 160)
    samples.amplify(out, pcm, 0, 160, 0, 32768 // 160)
    assert out[0] == 0 and out[159] > 980
    assert all(out[i] <= out[i + 1] for i in range(159))


def case_amplify_keeps_the_sign():
    pcm = array("h", [-32768, 32767, -1, 0])
    out = array("h", [9] * 4)
    assert samples.amplify(out, pcm, 0, 4, 32768, 0) == 0
    assert list(out) == [-32768, 32767, -1, 0]
    samples.amplify(out, pcm, 0, 4, 16384, 0)
    assert list(out) == [-16384, 16383, -1, 0]


def case_copy_and_silence():
    to = bytearray(10)
    samples.copy(to, 2, b"abcdef", 1, 3)
    assert bytes(to) == b"\0\0bcd\0\0\0\0\0"
    samples.silence(to, 5)
    assert bytes(to) == bytes(10)


# ---------------------------------------------------------------- memory


def case_playing_and_encoding_allocate_nothing():
    uplink, playout = Uplink(), Playout()
    made = packets(20)
    playout.begin()
    uplink.listen(0)
    out, mic = bytearray(2 * BLOCK), bytearray(2 * BLOCK)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    micropython.heap_lock()
    for n in range(1000):
        if n % 2 == 0 and n % 100 < 90:  # with a gap now and then
            packet = made[n // 2 % 20]
            playout.packet(packet, 0, len(packet))
        playout.block(out)
        samples.copy(uplink.block, 0, mic, 0, 2 * BLOCK)
        uplink.advance()
        uplink.step()
    micropython.heap_unlock()
    after = gc.mem_alloc()
    assert after - before == 0, after - before
    assert playout.played_ms > 8000 and playout.late > 10
    assert uplink.packet_timestamp_ms > 9000
