"""Words, and the loudspeaker that says them. Runs in MicroPython."""

from harken_device.audio.wake import WakeWord, Words
from harken_device.errors import ModelError


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
