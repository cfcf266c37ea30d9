"""Who speaks over an answer. Runs in MicroPython."""

from sounds import BLOCK, tone

from harken_device.audio.barge_in import BargeIn

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
