"""The state machine, played by hand: what comes in, and what must follow. Runs in MicroPython."""

import asyncio
import json

from micropython import RingIO
from sim_parts import (
    BARGE_IN,
    DRAINED,
    HEARD,
    HOP,
    PACKET,
    SPEECH,
    SPEECH_END,
    STOP,
    WAKE,
    SimEngine,
    SimHal,
    until,
)

from harken_device import app as application
from harken_device import protocol
from harken_device.app import (
    CONNECTING,
    IDLE,
    LISTENING,
    SPEAKING,
    THINKING,
    App,
)
from harken_device.config import Config
from harken_device.net.uplink import BYTES, Uplink

OURS = {
    "type": "hello",
    "transport": "websocket",
    "session_id": "s1",
    "harken": {"v": 1, "features": ["playout", "marks", "endpoint"], "frame_ms": 20},
}
STOCK = {"type": "hello", "transport": "websocket", "session_id": "s1"}


class SimLink:
    """A link that keeps what it is told."""

    def __init__(self):
        self.uplink = Uplink(RingIO(BYTES))
        self.up = False
        self.awake = False
        self.session_id = "s1"
        self.sent = []
        self.wanted = 0
        self.released = 0
        self.reports = 0

    def want(self):
        self.wanted += 1

    def release(self):
        self.released += 1

    def send(self, text, before_audio=False):
        self.sent.append(json.loads(text))

    def report_playout(self, played_ms, buffered_ms, late):
        self.reports += 1

    async def run(self):
        while True:
            await asyncio.sleep_ms(5)


class Stage:
    """The app among its doubles, with a clock that can be turned forward."""

    def __init__(self, hello=OURS, **settings):
        self.hal = SimHal()
        config = Config("no such file", lambda line: None)
        for name, value in settings.items():
            config.set(name, value)
        self.engine = SimEngine()
        application.Link = lambda *_: SimLink()
        self.app = App(self.hal, config, self.engine)
        self.link = self.app.link
        self.hello = protocol.ServerHello(hello)
        self.skipped_ms = 0
        real = application.left
        application.left = lambda deadline: real(deadline) - self.skipped_ms
        self.running = asyncio.create_task(self.app.run())

    def connect(self):
        self.link.up = True
        self.app.link_up(self.hello)

    def lose(self):
        self.link.up = False
        self.app.link_down()

    async def hear(self, flags):
        self.engine.coming.append(HOP | flags)
        await until(lambda: not self.engine.coming, "the hop taken")
        await asyncio.sleep_ms(2)

    async def press(self):
        self.hal.down = True
        await asyncio.sleep_ms(30)
        self.hal.down = False
        await asyncio.sleep_ms(30)

    async def pass_time(self, milliseconds):
        """Three looks of the control loop, or one state later, at a clock turned forward."""
        state = self.app.state
        self.skipped_ms = milliseconds
        for _ in range(15):
            await asyncio.sleep_ms(2)
            if self.app.state != state:
                break
        self.skipped_ms = 0

    async def reach(self, state):
        await until(lambda: self.app.state == state, "state %d" % state, 2000)

    async def thinking(self):
        await self.hear(WAKE)
        await self.hear(SPEECH | PACKET)
        await self.hear(SPEECH_END)
        await self.reach(THINKING)

    async def speaking(self):
        await self.thinking()
        self.tell("tts", state="start")
        await self.reach(SPEAKING)

    def tell(self, kind, **fields):
        fields["type"] = kind
        self.app.message(protocol.parse(json.dumps(fields)))

    def said(self, wanted, **fields):
        return [
            message
            for message in self.link.sent
            if message["type"] == wanted
            and all(message.get(name) == value for name, value in fields.items())
        ]

    def kinds(self):
        return [
            message["type"] + ":" + (message.get("state") or message.get("kind") or "")
            for message in self.link.sent
        ]


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
    assert stage.engine.did[-1] == "end" and stage.app.state == SPEAKING
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
    assert stage.app.state == CONNECTING and not stage.engine.listening
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
    assert stage.app.state == LISTENING and stage.engine.listening


async def case_a_gateway_that_cannot_be_reached():
    stage = Stage()
    await stage.hear(WAKE)
    stage.engine.packet_length = 5
    await stage.hear(PACKET)
    await stage.pass_time(9_500)
    assert stage.app.state == CONNECTING
    await stage.pass_time(10_100)
    await stage.reach(IDLE)
    assert not stage.engine.listening and stage.link.uplink.waiting == 0
    assert stage.hal.colours[-1] == (90, 0, 0)
    await until(lambda: stage.hal.colours[-1] == (0, 0, 0), "the error is no longer shown", 4000)


async def case_interrupted_while_speaking(by_button=False):
    stage = Stage()
    stage.connect()
    await stage.speaking()
    stage.engine.played_ms = 340
    order = []
    stage.engine.answer_drop = lambda: order.append("drop")
    send = stage.link.send
    stage.link.send = lambda text, first=False: (
        order.append(json.loads(text)["type"]),
        send(text, first),
    )
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
    assert stage.app.state == LISTENING and stage.engine.given == []
    assert stage.app.refused_audio == 1
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
    order = []
    stage.engine.answer_drop = lambda: order.append("drop")
    send = stage.link.send
    stage.link.send = lambda text, first=False: (
        order.append(json.loads(text)["type"]),
        send(text, first),
    )
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
    assert stage.app.state == LISTENING and stage.engine.listening
    stage.tell("stt", text="no, tomorrow")
    stage.tell("tts", state="start")
    assert stage.app.state == SPEAKING


async def case_a_voice_interrupts_nothing_but_an_answer():
    stage = Stage()
    stage.connect()
    await stage.hear(BARGE_IN)
    assert stage.app.state == IDLE and stage.link.sent == []
    await stage.thinking()
    await stage.hear(BARGE_IN)
    assert stage.app.state == THINKING and not stage.said("abort")


async def case_only_the_wake_word_interrupts_where_that_is_chosen():
    stage = Stage(barge_in="wake")
    stage.connect()
    await stage.speaking()
    assert not stage.engine.interruptible
    await stage.hear(BARGE_IN)
    assert stage.app.state == SPEAKING and not stage.said("abort")
    await stage.hear(WAKE)
    await stage.reach(LISTENING)
    assert stage.said("abort")[0]["reason"] == "wake_word_detected"


async def case_the_stop_word_ends_the_answer_and_nothing_else():
    stage = Stage(follow_up=True)
    stage.connect()
    await stage.hear(STOP)
    assert stage.app.state == IDLE and stage.link.sent == []
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
    assert stage.app.state == IDLE
    await stage.speaking()


async def case_the_hearing_is_told_while_there_is_something_to_hear():
    stage = Stage()
    stage.connect()
    stage.app._gateway._hearing_at -= 1000
    await asyncio.sleep_ms(30)
    assert not [mark for mark in stage.hal.marks if mark[0] == "hearing"]
    await stage.hear(WAKE)
    await until(lambda: ("hearing", stage.engine.hearing.state) in stage.hal.marks, "the mark")
    payload = {"id": 13, "method": "tools/call", "params": {"name": "self.get_device_status"}}
    stage.tell("mcp", payload=payload)
    status = json.loads(stage.said("mcp")[0]["payload"]["result"]["content"][0]["text"])
    assert status["hearing"] == {"erle_db": 21, "delay_ms": 30, "converged": True}, status


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
    assert stage.app.state == LISTENING
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
    assert stage.app.state == IDLE and not stage.engine.listening
    stage.connect()
    await stage.thinking()
    stage.lose()
    assert stage.app.state == IDLE
    stage.connect()
    await stage.speaking()
    stage.lose()
    assert stage.app.state == SPEAKING and stage.engine.did[-1] == "end"
    await stage.hear(DRAINED)
    await stage.reach(IDLE)


async def case_button_starts_and_ends_a_turn():
    stage = Stage(listen="button")
    stage.connect()
    await stage.hear(WAKE)
    assert stage.app.state == IDLE
    await stage.press()
    assert stage.app.state == LISTENING
    assert not stage.said("listen", state="detect") and stage.said("listen", state="start")
    await stage.hear(SPEECH)
    await stage.press()
    assert stage.app.state == THINKING


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
    assert stage.app.state == LISTENING
    stage.tell("stt", text="hello")
    assert stage.app.state == THINKING and not stage.engine.listening
    stage.tell("tts", state="start")
    stage.tell("tts", state="sentence_start", text="hi")
    assert stage.app.state == SPEAKING
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
    assert stage.app.state == SPEAKING and not stage.engine.listening


async def case_tools_change_the_device_and_are_kept():
    stage = Stage()
    saved = []
    stage.app._controls._config.save = lambda: saved.append(1)
    stage.connect()
    call = {"name": "self.audio_speaker.set_volume", "arguments": {"volume": 35}}
    payload = {"jsonrpc": "2.0", "id": 11, "method": "tools/call", "params": call}
    stage.tell("mcp", payload=payload)
    reply = stage.said("mcp")[0]["payload"]
    assert reply["id"] == 11 and reply["result"]["isError"] is False, reply
    assert stage.engine.volume == 35
    call = {"name": "self.led.set_color", "arguments": {"r": 1, "g": 2, "b": 3}}
    payload = {"jsonrpc": "2.0", "id": 12, "method": "tools/call", "params": call}
    stage.tell("mcp", payload=payload)
    assert stage.hal.colours[-1] == (1, 2, 3)
    payload = {"id": 13, "method": "tools/call", "params": {"name": "self.get_device_status"}}
    stage.tell("mcp", payload=payload)
    status = json.loads(stage.said("mcp")[2]["payload"]["result"]["content"][0]["text"])
    assert status["audio_speaker"]["volume"] == 35 and status["led"]["color"] == [1, 2, 3]
    await until(lambda: saved, "settings saved")
    stage.tell("mcp", payload={"method": "notifications/initialized"})
    assert len(stage.said("mcp")) == 3


async def case_a_reboot_is_obeyed_and_alerts_are_logged():
    stage = Stage()
    stage.connect()
    stage.tell("alert", status="low", message="battery\x1b[31m\n", emotion="sad")
    assert stage.hal.lines[-1] == "gateway: low: battery?[31m?", stage.hal.lines
    stage.tell("system", command="reboot")
    assert stage.hal.resets == 1


async def case_a_loop_that_dies_ends_the_app():
    stage = Stage()

    def broken():
        raise ValueError("the codec is gone")

    stage.engine.hop = broken
    try:
        await asyncio.wait_for(stage.running, 2)
    except ValueError as error:
        assert str(error) == "the codec is gone"
    else:
        raise AssertionError("the app went on")


def case_the_watchdog_wants_both_loops():
    from harken_device import watchdog

    feeds = []
    clock = [1000]
    watchdog.ticks_ms = lambda: clock[0]
    dog = watchdog.Watchdog(lambda: feeds.append(1))
    assert dog.check() and len(feeds) == 1
    clock[0] += 2001
    assert dog.stuck() == watchdog.AUDIO and not dog.check()
    dog.beat(watchdog.AUDIO)
    assert dog.check()
    clock[0] += 13_000
    dog.beat(watchdog.AUDIO)
    assert dog.stuck() == watchdog.NETWORK and not dog.check()
    dog.beat(watchdog.NETWORK)
    assert dog.check() and len(feeds) == 3
