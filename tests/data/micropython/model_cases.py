"""Models out of files. Runs in MicroPython."""

import json
import os

from harken_device.audio import models
from harken_device.audio.wake import wake_word
from harken_device.errors import ModelError


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
    config.set("stop_model", "stop")
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
