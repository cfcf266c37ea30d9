"""Who breaks into an answer, and what must follow. Runs in MicroPython."""

from sim_parts import BARGE_IN, SPEECH, SPEECH_END, STOP, WAKE
from sim_stage import STOCK, Stage

from harken_device.conversation import IDLE, LISTENING, SPEAKING, THINKING


async def case_interrupted_while_speaking(by_button=False):
    stage = Stage()
    stage.connect()
    await stage.speaking()
    stage.engine.played_ms = 340
    order = stage.order_of_ending()
    if by_button:
        await stage.press()
    else:
        await stage.hear(WAKE)
    await stage.reach(LISTENING)
    assert order[:3] == ["drop", "harken", "abort"], order
    assert stage.said("harken", kind="playout")[-1]["played_ms"] == 340
    reason = "button" if by_button else "wake_word_detected"
    assert stage.said("abort")[0]["reason"] == reason
    # What still comes of the old answer is not played and changes nothing.
    stage.app.audio(bytearray(b"old"), 0, 3)
    stage.tell("tts", state="start")
    stage.tell("tts", state="stop")
    assert stage.app.conversation.state == LISTENING and stage.engine.given == []
    assert stage.app.conversation.refused_audio == 1
    await stage.hear(SPEECH)
    await stage.hear(SPEECH_END)
    stage.tell("tts", state="start")
    await stage.reach(SPEAKING)


async def case_interrupted_by_button():
    await case_interrupted_while_speaking(True)


async def case_interrupted_by_a_voice():
    stage = Stage()
    stage.connect()
    await stage.speaking()
    stage.engine.played_ms = 340
    assert stage.engine.interruptible
    order = stage.order_of_ending()
    await stage.hear(BARGE_IN)
    await stage.reach(LISTENING)
    assert not stage.engine.interruptible
    assert order == ["drop", "harken", "abort", "listen"], order
    assert stage.said("harken", kind="playout")[-1]["played_ms"] == 340
    assert stage.said("abort")[0]["reason"] == "voice"
    # No word was said, and the beginning of what was said is in the past.
    assert len(stage.said("listen", state="detect")) == 1
    assert len(stage.said("listen", state="start")) == 2
    assert stage.engine.preroll[0] >= 330 and stage.engine.preroll[1] > 0
    assert ("barge_in", None) in stage.hal.marks
    await stage.hear(SPEECH)
    await stage.hear(SPEECH_END)
    await stage.reach(THINKING)


async def case_a_stock_server_is_interrupted_by_a_voice():
    stage = Stage(hello=STOCK)
    stage.connect()
    await stage.hear(WAKE)
    stage.tell("tts", state="start")
    await stage.hear(BARGE_IN)
    await stage.reach(LISTENING)
    assert stage.kinds()[-2:] == ["abort:", "listen:start"], stage.kinds()
    # It answers an abort with the end of the answer, which must not end the new turn.
    stage.tell("tts", state="stop")
    assert stage.app.conversation.state == LISTENING and stage.engine.listening
    stage.tell("stt", text="no, tomorrow")
    stage.tell("tts", state="start")
    assert stage.app.conversation.state == SPEAKING


async def case_a_voice_interrupts_nothing_but_an_answer():
    stage = Stage()
    stage.connect()
    await stage.hear(BARGE_IN)
    assert stage.app.conversation.state == IDLE and stage.link.sent == []
    await stage.thinking()
    await stage.hear(BARGE_IN)
    assert stage.app.conversation.state == THINKING and not stage.said("abort")


async def case_only_the_wake_word_interrupts_where_that_is_chosen():
    stage = Stage(barge_in="wake")
    stage.connect()
    await stage.speaking()
    assert not stage.engine.interruptible
    await stage.hear(BARGE_IN)
    assert stage.app.conversation.state == SPEAKING and not stage.said("abort")
    await stage.hear(WAKE)
    await stage.reach(LISTENING)
    assert stage.said("abort")[0]["reason"] == "wake_word_detected"


async def case_the_stop_word_ends_the_answer_and_nothing_else():
    stage = Stage(follow_up=True)
    stage.connect()
    await stage.hear(STOP)
    assert stage.app.conversation.state == IDLE and stage.link.sent == []
    await stage.speaking()
    stage.engine.wake_word = "Stop"
    listened = stage.engine.did.count("listen")
    await stage.hear(STOP | BARGE_IN)
    await stage.reach(IDLE)
    assert "drop" in stage.engine.did and stage.said("abort")[0]["reason"] == "stop_word"
    assert stage.engine.did.count("listen") == listened and not stage.engine.listening
    assert ("stop", "Stop") in stage.hal.marks and not stage.link.awake
    # What still comes of the answer is not played; the next one is.
    stage.tell("tts", state="stop", harken={"cancelled": True})
    assert stage.app.conversation.state == IDLE
    await stage.speaking()


async def case_interrupted_while_thinking():
    stage = Stage()
    stage.connect()
    await stage.thinking()
    await stage.hear(WAKE)
    await stage.reach(LISTENING)
    assert stage.said("abort") and "drop" not in stage.engine.did


async def case_cancelled_by_the_gateway():
    stage = Stage()
    stage.connect()
    await stage.speaking()
    stage.tell("tts", state="stop", harken={"cancelled": True})
    assert stage.engine.did[-1] == "drop"
    await stage.reach(IDLE)
