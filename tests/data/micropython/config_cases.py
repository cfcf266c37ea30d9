"""The settings file: what it may hold, and what becomes of one that is broken."""

import json
import os

from harken_device.config import SETTINGS, Config
from harken_device.errors import ConfigError

FILE = "config.json"


def load(content):
    """The settings of a file with this content, and the log."""
    lines = []
    with open(FILE, "wb") as file:
        file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
    return Config(FILE, lines.append), lines


def case_defaults_without_a_file():
    lines = []
    config = Config("none.json", lines.append)
    assert config.text("connection") == "kept" and config.number("no_speech_ms") == 6000
    assert config.flag("follow_up") is False and config.colour("led") == (0, 0, 0)
    assert lines == ["config: no none.json, using defaults"], lines


def case_what_is_set_is_kept_across_boots():
    config, lines = load({"volume": 40, "listen": "button", "led": [1, 2, 3]})
    assert lines == []
    assert config.set("volume", 55) is True
    assert config.set("volume", 55) is False
    config.save()
    again = Config(FILE, lines.append)
    assert again.number("volume") == 55 and again.text("listen") == "button"
    assert again.colour("led") == (1, 2, 3) and lines == []
    assert sorted(os.listdir()) == [FILE], os.listdir()


def case_a_list_of_wake_words():
    config, lines = load({"wake_models": ["hey_jarvis", "alexa"]})
    assert config.texts("wake_models") == ["hey_jarvis", "alexa"] and lines == []
    for bad in (["a", "b", "c"], [""], [1], "alexa", {"a": 1}, ["x" * 33], None):
        config, lines = load({"wake_models": bad})
        assert config.texts("wake_models") == ["okay_nabu"], bad
        assert lines == ["config: bad value of wake_models, using the default"], lines
    config, lines = load({"wake_models": []})
    assert config.texts("wake_models") == [] and lines == []


def case_the_wake_word_of_an_older_file_is_taken():
    config, lines = load({"wake_model": "hey_jarvis"})
    assert config.texts("wake_models") == ["hey_jarvis"] and lines == []
    config.save()
    with open(FILE) as file:
        assert json.load(file) == {"wake_models": ["hey_jarvis"]}
    config, lines = load({"wake_model": ""})
    assert config.texts("wake_models") == [] and lines == []
    # What was chosen since then counts more.
    config, lines = load({"wake_model": "alexa", "wake_models": ["hey_jarvis", "alexa"]})
    assert config.texts("wake_models") == ["hey_jarvis", "alexa"] and lines == []
    config, lines = load({"wake_model": 7})
    assert config.texts("wake_models") == ["okay_nabu"], lines
    assert lines == ["config: bad value of wake_models, using the default"], lines


def case_broken_files_become_defaults():
    for content in (
        b"",
        b"{",
        b"[1]",
        b"nonsense",
        b"\xff\xfe\x00",
        b'{"volume":',
        b"null",
        b"{}" * 5000,
        b'{"a":' * 4000,
        b"\x00" * 100,
        b"{1:2}",
    ):
        config, lines = load(content)
        assert config.number("volume") == 70, content[:20]
        assert len(lines) == 1 and "corrupt" in lines[0], (content[:20], lines)


def case_bad_values_become_defaults_and_are_named_without_their_value():
    secret = "hunter2" * 300
    bad = {
        "volume": 101,
        "no_speech_ms": "6000",
        "listen": "shout",
        "follow_up": 1,
        "led": [1, 2],
        "ota_url": "ftp://x",
        "websocket_version": True,
        "websocket_token": secret,
        "preroll_ms": 1.5,
        "connection": None,
    }
    config, lines = load(bad)
    for name in bad:
        assert config._values[name] == SETTINGS[name][0], name
    assert len(lines) == len(bad) and "hunter2" not in "".join(lines), lines


def case_unknown_settings_are_named_and_survive_a_save():
    config, lines = load({"volume": 1, "from_the_future": [1]})
    assert lines == ["config: unknown setting 'from_the_future'"], lines
    config.set("volume", 2)
    config.save()
    with open(FILE) as file:
        assert json.load(file) == {"volume": 2, "from_the_future": [1]}


def case_setting_refuses_what_the_file_may_not_hold():
    config, _ = load({})
    for name, value in (("volume", 101), ("volume", True), ("nothing", 1), ("listen", 3)):
        try:
            config.set(name, value)
        except ConfigError:
            continue
        raise AssertionError(name)
    assert config.number("volume") == 70


def case_a_power_cut_while_saving_keeps_the_old_file():
    config, _ = load({"volume": 10})
    real = os.rename
    config.set("volume", 20)

    class Cut(Exception):
        pass

    class Os:
        @staticmethod
        def rename(old, new):
            raise Cut

    from harken_device import config as module

    module.os = Os
    try:
        config.save()
    except Cut:
        pass
    module.os = os
    assert os.rename is real
    assert Config(FILE, print).number("volume") == 10
    with open(FILE + ".new", "w") as file:
        file.write('{"volume":')  # half a write of the next save
    again = Config(FILE, print)
    again.set("volume", 30)
    again.save()
    assert Config(FILE, print).number("volume") == 30


def case_backoff_grows_within_its_bounds_and_starts_again():
    from harken_device.net.backoff import Backoff

    seen = set()
    for _ in range(20):
        backoff = Backoff(500, 3000)
        for step in (500, 1000, 2000, 3000, 3000, 3000):
            wait = backoff.next_ms()
            seen.add(wait)
            assert step // 2 <= wait <= step, (step, wait)
        backoff.reset()
        assert backoff.next_ms() <= 500
    assert len(seen) > 50  # devices that fail together do not come back together


def case_uplink_keeps_order_and_drops_the_oldest():
    from micropython import RingIO

    from harken_device.net.uplink import BYTES, Uplink

    uplink = Uplink(RingIO(BYTES))
    uplink.configure(20)
    packet = bytearray(60)
    for i in range(130):
        packet[0] = i
        uplink.put(packet, 60, i * 20)
    assert uplink.waiting == 100 and uplink.dropped == 30
    into = memoryview(bytearray(512))
    assert uplink.take(into) == 60 and into[0] == 30 and uplink.timestamp_ms == 600
    uplink.say("behind")
    uplink.say("before", True)
    assert not uplink.text_is_next()
    uplink.clear()
    assert uplink.take(into) == 0 and not uplink.text_is_next()
    uplink.put(packet, 10, 0)
    assert uplink.say("start", True) and uplink.text_is_next()
    uplink.put(packet, 10, 0)
    assert uplink.next_text() == "start"
    uplink.say("stop")
    uplink.put(packet, 10, 0)
    assert uplink.take(into) and uplink.take(into)
    assert uplink.text_is_next() and uplink.next_text() == "stop"
    assert uplink.take(into) and not uplink.take(into)
    for i in range(40):
        assert uplink.say("x") == (i < 32)
    uplink.clear()
    uplink.put(packet, 10, 0)
    uplink.say("said after it")
    lost = uplink.dropped
    uplink.drop()
    assert uplink.waiting == 0 and uplink.dropped == lost + 1
    assert uplink.text_is_next() and uplink.next_text() == "said after it"
    big = bytearray(512)
    uplink.clear()
    for _ in range(20):
        uplink.put(big, 512, 1 << 29)
    assert uplink.waiting == 12
    assert uplink.take(into) == 512
    assert uplink.timestamp_ms == 1 << 29
    uplink.put(big, 0, 0)
    assert uplink.waiting == 11
