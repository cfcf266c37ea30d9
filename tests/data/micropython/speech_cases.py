"""Where a turn begins and ends. Runs in MicroPython."""

from harken_device.audio.speech import BEGAN, ENDED, Speech


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


def case_speech_that_was_heard_before_counts():
    assert follow_from(8, [(True, 6), (False, 60)])[0] == (3, BEGAN)
    assert follow_from(0, [(True, 6), (False, 60)]) == []


def follow_from(voiced, pattern):
    speech = Speech(500)
    speech.listen(voiced)
    return follow(speech, pattern)
