"""The device's audio, part by part, with the real codec. Runs in MicroPython."""

import gc
import json
import math
import os
from array import array

import micropython
from harken_opus import Decoder, Encoder

from harken_device.audio import models, samples
from harken_device.audio.barge_in import BargeIn
from harken_device.audio.engine import Engine
from harken_device.audio.playout import Playout
from harken_device.audio.speech import BEGAN, ENDED, Speech
from harken_device.audio.uplink import Uplink
from harken_device.audio.wake import WakeWord, Words, wake_word
from harken_device.errors import ModelError

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


# ---------------------------------------------------------------- uplink


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
    """Stands for a model: its answer, every third row, is one of the features."""

    def __init__(self, feature):
        self.feature = feature
        self.rows = 0
        self.resets = 0

    def step(self, row):
        self.rows += 1
        return -1 if self.rows % 3 else row[self.feature]

    def reset(self):
        self.resets += 1
        self.rows = 0


def word(cutoff=0.8, window=5, feature=0):
    return WakeWord(_Probabilities(feature), "test", cutoff, window)


def fires(words, rows, heard, own=lambda n: {}, playing=lambda n: False):
    """Rows at which a word was said: (row, word). `heard` and `own`: features by row."""
    said = []
    for n in range(rows):
        row, own_row = bytearray(40), bytearray(40)
        for feature, value in heard(n).items():
            row[feature] = value
        for feature, value in own(n).items():
            own_row[feature] = value
        if words.play(playing(n)):
            words.step_own(own_row)
        one = words.step(row)
        if one is not None:
            said.append((n, one))
    return said


def during(*spans, feature=0, value=255):
    """The feature is `value` from each start for so many rows."""
    return lambda n: {feature: value} if any(a <= n < a + count for a, count in spans) else {}


def always(_):
    return True


def case_one_high_probability_is_not_enough():
    assert fires(Words((word(),), None, True), 300, during((150, 3))) == []


def case_a_window_of_high_probabilities_is():
    assert len(fires(Words((word(),), None, True), 300, during((150, 24)))) == 1


def case_it_is_deaf_for_a_second_after_it_fired():
    heard = [n for n, _ in fires(Words((word(),), None, True), 600, during((0, 600)))]
    assert all(b - a >= 100 for a, b in zip(heard, heard[1:])), heard  # noqa: RUF007  # MicroPython
    assert 4 <= len(heard) <= 6


def case_a_mean_below_the_cutoff_is_no_word():
    assert fires(Words((word(),), None, True), 600, during((0, 600), value=200)) == []


def case_the_window_and_cutoff_are_checked():
    for cutoff, window in ((0.0, 5), (1.5, 5), (0.5, 0), (0.5, 65)):
        try:
            word(cutoff, window)
        except ModelError:
            continue
        raise AssertionError((cutoff, window))


def case_two_words_are_heard_and_one_utterance_is_one_word():
    first, second = word(), word(feature=1)

    def heard(n):
        # The second takes the first one's utterance for its own, a little later.
        return {0: 255 * (150 <= n < 174), 1: 255 * (156 <= n < 180 or 400 <= n < 424)}

    said = fires(Words((first, second), None, True), 600, heard)
    assert [one for _, one in said] == [first, second], said
    assert said[1][0] - said[0][0] > 200, said
    assert first._model.resets == second._model.resets == 2


def case_the_loudspeakers_own_word_is_vetoed():
    for own in (
        during((150, 24)),
        during((145, 24), value=120),  # half as certain suffices there
        during((60, 24)),  # and an echo may come late
    ):
        words = Words((word(),), None, True)
        assert fires(words, 300, during((150, 24)), own, always) == []
        assert words.vetoed == 1
    # Nobody else is to blame for a word of two seconds ago.
    words = Words((word(),), None, True)
    assert len(fires(words, 500, during((350, 24)), during((120, 24)), always)) == 1
    assert words.vetoed == 0


def case_a_word_at_the_end_of_the_answer_is_vetoed():
    words = Words((word(),), None, True)
    end = during((150, 24))
    assert fires(words, 300, end, end, lambda n: n < 130) == [] and words.vetoed == 1


def case_somebody_who_says_the_word_over_other_sound_is_heard():
    words = Words((word(),), None, True)
    said = fires(words, 300, during((150, 24)), during((0, 300), value=90), always)
    # Looking for it in a second and more of the loudspeaker takes a tenth of a second.
    assert len(said) == 1 and 162 + 8 <= said[0][0] <= 165 + 12 and words.vetoed == 0, said


def case_nothing_of_an_earlier_answer_is_held_against_anybody():
    words = Words((word(),), None, True)
    fires(words, 200, during(), during((120, 24)), lambda n: n < 145)
    words.play(True)
    assert len(fires(words, 60, during((0, 24)), playing=always)) == 1 and words.vetoed == 0


def case_where_the_loudspeaker_is_not_known_its_words_count():
    words = Words((word(),), None, False)
    both = during((150, 24))
    said = fires(words, 300, both, both, always)
    assert len(said) == 1 and said[0][0] < 168 and words.vetoed == 0, said


def case_the_stop_word_is_heard_only_while_something_plays():
    stop = word()
    words = Words((), stop, True)
    assert fires(words, 300, during((0, 300))) == [] and stop._model.rows == 0
    said = fires(words, 400, during((0, 400)), playing=lambda n: n >= 100)
    assert said[0][1] is stop and words.stops(stop)
    # It starts anew with each answer, and is sure of nothing before it has heard a little.
    assert 125 <= said[0][0] < 140, said
    before = stop._model.resets
    fires(words, 60, during(), playing=lambda n: 10 < n < 20)
    assert stop._model.resets == before + 1


def case_the_loudspeakers_own_stop_is_vetoed():
    words = Words((), word(), True)
    both = during((150, 24))
    assert fires(words, 300, both, both, always) == [] and words.vetoed == 1


def case_nothing_else_makes_a_word_start_anew():
    one = word()
    fires(Words((one,), None, True), 1000, during(), playing=lambda n: n % 300 > 100)
    assert one._model.resets == 0


def case_what_a_model_remembers_is_over_by_itself():
    """Why a long silence resets nothing."""
    words = Words((word(),), None, True)
    assert fires(words, 162, during((150, 12))) == []
    assert words._words[0]._sum > 0
    fires(words, 60, during())
    assert words._words[0]._sum == 0


# ---------------------------------------------------------------- models


def header(stride=3, features=40, state=1000, length=200):
    content = bytearray(length)
    content[0:4] = b"HKM1"
    content[16] = stride
    content[18] = features
    for i in range(4):
        content[24 + i] = state >> 8 * i & 255
    return content


MICRO = {"probability_cutoff": 0.9, "sliding_window_size": 5, "feature_step_size": 10}


def write(content, manifest, name="some"):
    if "models" not in os.listdir():
        os.mkdir("models")
    with open("models/%s.hkm" % name, "wb") as file:
        file.write(content)
    if manifest is not None:
        with open("models/%s.json" % name, "wb") as file:
            file.write(manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode())


def refused(make, *words):
    try:
        make()
    except ModelError as error:
        text = str(error)
        assert all(word in text for word in words), text
        return text
    raise AssertionError("taken")


def case_what_is_no_model_is_refused_with_the_reason():
    good = {"wake_word": "x", "micro": MICRO}
    for content, reason in (
        (b"", "cut off"),
        (b"HKM1" + bytes(20), "cut off"),
        (header(), "model some: "),
        (b"TFL3" * 100, "model some: "),
        (header(state=300_000), "leaves no room"),
        (header(state=0xFFFFFFFF), "leaves no room"),
    ):
        write(content, good)
        refused(lambda: models.load("some").instance(), "some", reason)
    with open("models/some.hkm", "ab") as file:
        for _ in range(140):
            file.write(bytes(1000))
    refused(lambda: models.load("some"), "some", "more than")
    refused(lambda: models.load("other"), "other", "is not there")


def case_a_manifest_that_cannot_be_used_is_refused_with_the_reason():
    for manifest in (b"", b"[1]", b"{", b"{}" + b" " * 5000, b"[" * 3000, b"\xff\xfe"):
        write(header(), manifest)
        refused(lambda: models.load("some"), "is no JSON object")
    write(header(), None, "lone")
    refused(lambda: models.load("lone"), "lone", "is not there")
    assert models.load("lone", manifest=False).manifest == {}
    for micro in ({}, None, 7, {"probability_cutoff": "x"}, dict(MICRO, sliding_window_size=[])):
        write(header(), {"wake_word": "x", "micro": micro})
        refused(lambda: wake_word(models.load("some")), "some", "incomplete")
    write(header(), {"wake_word": "x", "micro": dict(MICRO, feature_step_size=20)})
    refused(lambda: wake_word(models.load("some")), "some", "every 20", "every 10")


def case_the_device_goes_on_without_what_it_cannot_load():
    from harken_device.audio.hearing import Hearing
    from harken_device.config import Config
    from harken_device.start import listen_for

    write(header(), {"wake_word": "x", "micro": MICRO}, "broken")
    lines = []
    config = Config("none", lines.append)
    config.set("wake_models", ["broken", "missing"])
    config.set("noise_model", "missing")
    lines.clear()
    hearing = Hearing(0)
    listen_for(hearing, config, lines.append)
    assert [line.split(":")[1] for line in lines] == [
        " model broken",
        " model missing",
        " model stop",
        " model vad",
        " model missing",
    ], lines
    block = bytearray(320)
    assert hearing.step(block, block, True, bytearray(320)) == 0


# ---------------------------------------------------------------- barge-in


ECHO, SETTLED, NEAR = 1, 3, 7 | 3 << 4  # with three bands over echo and noise


class Answer:
    """An answer that is heard as loudly as it is played; the canceller leaves a part of it."""

    def __init__(self):
        self.barge_in = BargeIn()
        self.n = 0
        self.barge_in.reset()

    def go(self, told, voice, blocks, residue=100, talker=0, playing=8000):
        """Go on for so many blocks; those at which somebody broke in."""
        found = []
        for _ in range(blocks):
            at = self.n * BLOCK
            played = tone(BLOCK, at, playing)
            left = tone(BLOCK, at, residue + talker)
            mic = tone(BLOCK, at, playing + residue + talker)
            if self.barge_in.step(told, voice, mic, left, played):
                found.append(self.n)
            self.n += 1
        return found


def settled():
    """Ten seconds into an answer that nobody interrupts."""
    answer = Answer()
    assert answer.go(ECHO, True, 40, residue=8000) == []
    assert answer.go(SETTLED, True, 960) == []
    return answer


def case_a_voice_over_the_answer_breaks_in():
    answer = settled()
    found = answer.go(NEAR, True, 40, talker=3000)
    assert 1002 <= found[0] <= 1006, found


def case_a_soft_voice_takes_longer():
    answer = settled()
    found = answer.go(NEAR, True, 60, talker=500)
    assert found and 1004 < found[0] < 1020, found


def case_the_answers_own_residue_does_not():
    for told, voice in ((SETTLED, True), (NEAR, False)):
        answer = settled()
        assert answer.go(told, voice, 300, talker=3000) == []


def case_what_a_room_leaves_is_learnt():
    # A canceller that leaves half of the echo, and takes it for a talker now and then.
    answer = settled()
    for _ in range(20):
        answer.go(SETTLED, True, 15, residue=3000)
        answer.go(NEAR, True, 3, residue=3000)
    assert answer.go(NEAR, True, 5, residue=3000) == []
    assert answer.go(NEAR, True, 40, residue=3000, talker=9000) != []


def case_nothing_breaks_in_before_the_canceller_has_settled():
    answer = Answer()
    assert answer.go(ECHO, True, 99, residue=4000, talker=9000) == []  # it never converged
    answer = Answer()
    assert answer.go(NEAR, True, 59, residue=4000, talker=9000) == []
    answer = settled()
    answer.barge_in.reset()  # the next answer
    assert answer.go(SETTLED, True, 20) == []
    assert answer.go(NEAR, True, 40, talker=3000)[0] >= 1000 + 29


def case_many_bands_at_once_break_in_before_the_canceller_is_sure():
    answer = settled()
    assert answer.go(SETTLED | 2 << 4, True, 40, talker=3000) == []
    answer = settled()
    found = answer.go(SETTLED | 6 << 4, True, 40, talker=3000)
    assert 1002 <= found[0] <= 1006, found


def case_what_is_cut_off_does_not_break_in():
    answer = settled()
    for _ in range(20):
        assert answer.go(SETTLED | 7 << 4 | 256, True, 1, talker=9000) == []
        assert answer.go(SETTLED | 7 << 4, True, 2, talker=9000) == []
    assert answer.go(SETTLED | 7 << 4, True, 8, talker=9000) != []


def case_one_voice_breaks_in_once():
    answer = settled()
    assert len(answer.go(SETTLED | 7 << 4, True, 100, talker=4000)) == 1
    assert answer.go(SETTLED, True, 20) == []  # no pause yet
    assert answer.go(SETTLED | 7 << 4, True, 10, talker=6000) == []
    assert answer.go(SETTLED, True, 300) == []
    assert len(answer.go(SETTLED | 7 << 4, True, 20, talker=9000)) == 1


def case_a_click_does_not_break_in():
    answer = settled()
    for _ in range(20):
        assert answer.go(NEAR, True, 2, talker=9000) == []
        assert answer.go(SETTLED, False, 20) == []


def case_a_voice_in_a_pause_of_the_answer_breaks_in():
    answer = settled()
    assert answer.go(0, False, 60, residue=5, playing=0) == []
    assert answer.go(0, True, 12, residue=5, talker=2000, playing=0) != []


def case_without_a_canceller_nobody_breaks_in():
    from harken_device.audio.hearing import BARGE_IN, GAIN, VOICE, Hearing

    for parts in (0, GAIN):
        hearing = Hearing(parts)
        assert not hearing.cancels and hearing.delay_ms == (10 if parts else 0)
        out, silent, events = bytearray(320), bytearray(320), 0
        for n in range(200):
            loud = bytearray(bytes(tone(BLOCK, n * BLOCK, 9 if n < 100 else 12000)))
            events |= hearing.step(loud, silent, True, out)
        assert events & VOICE and not events & BARGE_IN


class SimHearing:
    """Says that somebody breaks in at one block; keeps what the loudspeaker played at each."""

    delay_ms = 0

    def __init__(self, at):
        self.at = at
        self.n = 0
        self.loopback = []

    def step(self, mic, loudspeaker, playing, out):
        self.loopback.append(bytes(loudspeaker))
        self.n += 1
        return 256 if self.n == self.at else 0


class SimBoard:
    """A microphone in silence, and a loudspeaker that keeps what it plays."""

    def __init__(self):
        self.mic = self.speaker = self
        self.played = []

    def poll(self, block):
        return True

    def write(self, block):
        self.played.append(bytes(block))


def interrupted(interruptible):
    board, hearing = SimBoard(), SimHearing(30)
    device = Engine(board, hearing, 400)
    device.interruptible = interruptible
    device.answer_begin()
    for packet in packets(30):
        device.answer_packet(packet, 0, len(packet))
    for _ in range(40):
        device.hop()
    # What the canceller is given is what was written two blocks before.
    assert hearing.loopback[2:] == board.played[:-2]
    return [loudness(block) for block in board.played]


def case_an_answer_that_may_be_interrupted_is_silent_in_the_same_block():
    levels = interrupted(True)
    assert levels[28] > 1000 and max(levels[29:]) == 0, levels
    assert interrupted(False)[35] > 1000


def case_without_a_cleaner_the_sound_goes_out_as_it_is():
    from harken_device.audio.hearing import Hearing

    hearing = Hearing(0)
    out, block = bytearray(320), bytearray(bytes(tone(BLOCK)))
    hearing.step(block, bytearray(320), False, out)
    assert out == block and hearing.state == {"vetoed": 0}


def case_the_cleaned_sound_is_as_late_as_it_says():
    from harken_device.audio.hearing import ECHO, GAIN, HIGHPASS, NOISE, Hearing

    for parts in (HIGHPASS, HIGHPASS | ECHO, HIGHPASS | ECHO | NOISE | GAIN):
        hearing = None
        gc.collect()
        hearing = Hearing(parts)
        out, silent = bytearray(320), bytearray(320)
        levels = []
        for n in range(60):
            loud = bytearray(bytes(tone(BLOCK, n * BLOCK, 9 if n < 50 else 12000)))
            hearing.step(loud, silent, False, out)
            levels.append(loudness(out))
        # The first block of the tone comes out one block later; the window lets a little of it by.
        late = hearing.delay_ms // 10
        assert late == 1 and max(levels[40 : 50 + late]) < 1500 < levels[50 + late], levels[48:54]


def case_the_packets_of_cleaned_sound_are_stamped_with_its_own_time():
    uplink = Uplink(10)
    hear(uplink, 50)
    uplink.listen(160)
    assert uplink.step() and uplink.packet_timestamp_ms == 330
    fresh = Uplink(10)
    fresh.listen(0)
    hear(fresh, 2)
    assert fresh.step() and fresh.packet_timestamp_ms == 2**30 - 10


def case_speech_that_was_heard_before_counts():
    assert follow_from(8, [(True, 6), (False, 60)])[0] == (3, BEGAN)
    assert follow_from(0, [(True, 6), (False, 60)]) == []


def follow_from(voiced, pattern):
    speech = Speech(500)
    speech.listen(voiced)
    return follow(speech, pattern)


# ---------------------------------------------------------------- loops over samples


def case_copy_and_silence():
    to = bytearray(10)
    samples.copy(to, 2, b"abcdef", 1, 3)
    assert bytes(to) == b"\0\0bcd\0\0\0\0\0"
    samples.silence(to, 5)
    assert bytes(to) == bytes(10)
    words = bytearray(16)
    samples.copy_words(words, 1, b"0123456789abcdef", 2, 2)
    assert bytes(words) == b"\0\0\0\x0089abcdef\0\0\0\0"


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
        uplink.put(mic)
        uplink.step()
    micropython.heap_unlock()
    after = gc.mem_alloc()
    assert after - before == 0, after - before
    assert playout.played_ms > 8000 and playout.late > 10
    assert uplink.packet_timestamp_ms > 9000
