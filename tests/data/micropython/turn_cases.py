"""Turns from the first word to the last, played by hand. Runs in MicroPython."""

from sim_parts import DRAINED, HEARD, PACKET, SPEECH, SPEECH_END, WAKE, until
from sim_stage import STOCK, Stage

from harken_device.conversation import CONNECTING, IDLE, LISTENING, SPEAKING, THINKING


async def case_a_whole_turn():
    stage = Stage()
    stage.connect()
    assert stage.engine.frame_ms == 20 and stage.hal.confirmed
    await stage.thinking()
    assert stage.kinds() == [
        "listen:detect",
        "listen:start",
        "listen:stop",
        "harken:marks",
    ], stage.kinds()
    assert stage.said("listen", state="detect")[0]["text"] == "okay_nabu"
    assert stage.said("listen", state="start")[0]["mode"] == "auto"
    assert stage.said("listen", state="stop")[0]["harken"] == {"speech": True}
    marks = stage.said("harken", kind="marks")[0]["samples"]
    assert marks == {"speech_end": -2720, "device_endpoint": 480, "uplink_last": 320}, marks
    stage.tell("stt", text="what time is it")
    stage.tell("tts", state="start")
    await stage.reach(SPEAKING)
    stage.app.audio(bytearray(b"--abc"), 2, 3)
    assert stage.engine.given == [b"abc"]
    await stage.hear(HEARD)
    await until(lambda: stage.link.reports > 0, "a playout report")
    stage.tell("tts", state="stop")
    assert stage.engine.did[-1] == "end" and stage.app.conversation.state == SPEAKING
    stage.engine.played_ms = 60
    await stage.hear(DRAINED)
    await stage.reach(IDLE)
    end = stage.said("harken", kind="playout")[-1]
    assert end["ended"] is True and end["played_ms"] == 60
    assert stage.link.released == 1 and not stage.link.awake
    assert stage.hal.feeds > 0


async def case_wake_while_the_link_is_down():
    stage = Stage()
    await stage.hear(WAKE)
    await stage.reach(CONNECTING)
    assert stage.link.wanted == 1 and stage.engine.listening
    stage.engine.packet_length = 5
    await stage.hear(PACKET)
    assert stage.link.uplink.waiting == 1 and stage.link.sent == []
    stage.connect()
    await stage.reach(LISTENING)
    assert stage.kinds() == ["listen:detect", "listen:start"]


async def case_speech_that_ends_before_the_link_is_up():
    stage = Stage()
    await stage.hear(WAKE)
    stage.engine.packet_length = 5
    await stage.hear(SPEECH | PACKET)
    await stage.hear(SPEECH_END | PACKET)
    # It is kept as it is: silence does not push it out of the queue.
    assert stage.app.conversation.state == CONNECTING and not stage.engine.listening
    assert stage.link.uplink.waiting == 2
    stage.connect()
    await stage.reach(THINKING)
    assert stage.kinds() == ["listen:detect", "listen:start", "listen:stop", "harken:marks"]
    assert stage.said("listen", state="stop")[0]["harken"] == {"speech": True}
    marks = stage.said("harken", kind="marks")[0]["samples"]
    assert marks == {"speech_end": -2720, "device_endpoint": 480, "uplink_last": 480}, marks


async def case_a_stock_server_is_left_to_find_the_end_after_the_link_is_up():
    stage = Stage(hello=STOCK)
    await stage.hear(WAKE)
    await stage.hear(SPEECH)
    await stage.hear(SPEECH_END)
    stage.connect()
    await stage.reach(LISTENING)
    assert stage.engine.listening
    assert stage.kinds() == ["listen:detect", "listen:start"]
    # What was said before the link was up belongs to this call alone.
    stage.tell("stt", text="hello")
    stage.tell("tts", state="stop")
    await stage.hear(WAKE)
    assert stage.app.conversation.state == LISTENING and stage.engine.listening


async def case_a_gateway_that_cannot_be_reached():
    stage = Stage()
    await stage.hear(WAKE)
    stage.engine.packet_length = 5
    await stage.hear(PACKET)
    await stage.pass_time(9_500)
    assert stage.app.conversation.state == CONNECTING
    await stage.pass_time(10_100)
    await stage.reach(IDLE)
    assert not stage.engine.listening and stage.link.uplink.waiting == 0
    assert stage.hal.colours[-1] == (90, 0, 0)
    await until(lambda: stage.hal.colours[-1] == (0, 0, 0), "the error is no longer shown", 4000)


async def case_nobody_speaks():
    stage = Stage()
    stage.connect()
    await stage.hear(WAKE)
    await stage.reach(LISTENING)
    await stage.pass_time(6_100)
    await stage.reach(IDLE)
    assert stage.said("listen", state="stop")[0]["harken"] == {"speech": False}
    assert not stage.said("harken") and not stage.engine.listening


async def case_somebody_does_not_stop():
    stage = Stage()
    stage.connect()
    await stage.hear(WAKE)
    await stage.hear(SPEECH)
    await stage.pass_time(6_100)
    assert stage.app.conversation.state == LISTENING
    await stage.pass_time(30_100)
    await stage.reach(THINKING)
    assert stage.said("listen", state="stop")[0]["harken"] == {"speech": True}


async def case_no_answer_comes():
    stage = Stage()
    stage.connect()
    await stage.thinking()
    await stage.pass_time(30_100)
    await stage.reach(IDLE)
    assert (90, 0, 0) in stage.hal.colours


async def case_the_answer_stops_half_way():
    stage = Stage()
    stage.connect()
    await stage.speaking()
    await stage.pass_time(30_100)
    await stage.reach(IDLE)
    assert stage.engine.did[-1] == "drop" and (90, 0, 0) in stage.hal.colours


async def case_an_answer_without_words():
    stage = Stage()
    stage.connect()
    await stage.thinking()
    stage.tell("tts", state="stop")
    await stage.reach(IDLE)


async def case_a_loudspeaker_that_never_drains():
    stage = Stage()
    stage.connect()
    await stage.speaking()
    stage.tell("tts", state="stop")
    await stage.pass_time(3_100)
    await stage.reach(IDLE)


async def case_the_link_is_lost_in_each_state():
    stage = Stage()
    stage.connect()
    await stage.hear(WAKE)
    await stage.reach(LISTENING)
    stage.lose()
    assert stage.app.conversation.state == IDLE and not stage.engine.listening
    stage.connect()
    await stage.thinking()
    stage.lose()
    assert stage.app.conversation.state == IDLE
    stage.connect()
    await stage.speaking()
    stage.lose()
    assert stage.app.conversation.state == SPEAKING and stage.engine.did[-1] == "end"
    await stage.hear(DRAINED)
    await stage.reach(IDLE)


async def case_button_starts_and_ends_a_turn():
    stage = Stage(listen="button")
    stage.connect()
    await stage.hear(WAKE)
    assert stage.app.conversation.state == IDLE
    await stage.press()
    assert stage.app.conversation.state == LISTENING
    assert not stage.said("listen", state="detect") and stage.said("listen", state="start")
    await stage.hear(SPEECH)
    await stage.press()
    assert stage.app.conversation.state == THINKING


async def case_follow_up_listens_again():
    stage = Stage(follow_up=True)
    stage.connect()
    await stage.speaking()
    stage.tell("tts", state="stop")
    await stage.hear(DRAINED)
    await stage.reach(LISTENING)
    assert len(stage.said("listen", state="start")) == 2
    assert len(stage.said("listen", state="detect")) == 1
    await stage.pass_time(6_100)
    await stage.reach(IDLE)


async def case_a_stock_server_ends_the_turn():
    stage = Stage(hello=STOCK)
    stage.connect()
    assert stage.engine.frame_ms == 60
    await stage.hear(WAKE)
    await stage.hear(SPEECH)
    await stage.hear(SPEECH_END)
    assert stage.app.conversation.state == LISTENING
    stage.tell("stt", text="hello")
    assert stage.app.conversation.state == THINKING and not stage.engine.listening
    stage.tell("tts", state="start")
    stage.tell("tts", state="sentence_start", text="hi")
    assert stage.app.conversation.state == SPEAKING
    stage.tell("tts", state="stop")
    await stage.hear(DRAINED)
    await stage.reach(IDLE)
    assert stage.link.reports == 0
    assert [kind for kind in stage.kinds() if kind.startswith("harken")] == []


async def case_a_stock_server_that_starts_speaking_at_once():
    stage = Stage(hello=STOCK)
    stage.connect()
    await stage.hear(WAKE)
    stage.tell("tts", state="start")
    assert stage.app.conversation.state == SPEAKING and not stage.engine.listening
