"""What must not be given to `harken_opus`, and what garbage does to it."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Operation, RunsOperations


pytestmark = pytest.mark.integration

PREPARE = """
import array
import harken_opus as opus
encoder = opus.Encoder(16000, 24000, 5)
decoder = opus.Decoder(16000)
pcm = array.array("h", bytes(640))
out = bytearray(1276)
size = encoder.encode(pcm, 320, out)
"""

REFUSED = [
    ("opus.Encoder(44100, 24000, 5)", "rate"),
    ("opus.Encoder(16000, 5999, 5)", "bitrate"),
    ("opus.Encoder(16000, 510001, 5)", "bitrate"),
    ("opus.Encoder(16000, -1, 5)", "bitrate"),
    ("opus.Encoder(16000, 24000, 11)", "complexity"),
    ("opus.Encoder(16000, 24000, -1)", "complexity"),
    ("opus.Encoder(1 << 70, 24000, 5)", "rate"),
    ("opus.Decoder(0)", "rate"),
    ("encoder.encode(pcm, 319, out)", "samples"),
    ("encoder.encode(pcm, 0, out)", "samples"),
    ("encoder.encode(pcm, -320, out)", "samples"),
    ("encoder.encode(pcm, (1 << 64) + 320, out)", "samples"),
    ("encoder.encode(pcm, 640, out)", "PCM buffer is shorter"),
    ("encoder.encode(bytearray(639), 320, out)", "PCM buffer is shorter"),
    ("encoder.encode(memoryview(bytearray(641))[1:], 320, out)", "even address"),
    ("encoder.encode(pcm, 320, bytearray(0))", "packet buffer is empty"),
    ("encoder.tune(5999, -1, -1, -1)", "bitrate"),
    ("encoder.tune(-2, -1, -1, -1)", "bitrate"),
    ("encoder.tune(-1, 11, -1, -1)", "complexity"),
    ("encoder.tune(-1, -1, 2, -1)", "fec"),
    ("encoder.tune(-1, -1, -1, 101)", "loss_percent"),
    ("decoder.decode(out, 0, pcm, 320)", "length"),
    ("decoder.decode(out, 1277, pcm, 320)", "length"),
    ("decoder.decode(out, -1, pcm, 320)", "length"),
    ("decoder.decode(out, 1 << 65, pcm, 320)", "length"),
    ("decoder.decode(b'', 1, pcm, 320)", "length"),
    ("decoder.decode(out, size, pcm, 321)", "PCM buffer is shorter"),
    ("decoder.decode(out, size, pcm, 0)", "samples"),
    ("decoder.decode(out, size, pcm, -1)", "samples"),
    ("decoder.decode(out, size, pcm, 319)", "too small"),
    ("decoder.decode(out, size, memoryview(bytearray(641))[1:], 320)", "even address"),
    ("decoder.decode(None, 0, pcm, 41)", "2.5 ms"),
    ("decoder.decode(None, 0, bytearray(8000), 1960)", "120 ms"),
    ("decoder.decode(None, 0, pcm, 360)", "PCM buffer is shorter"),
    ("decoder.decode_fec(out, 0, pcm, 320)", "length"),
    ("decoder.decode_fec(out, size, pcm, 41)", "2.5 ms"),
    ("decoder.decode_fec(out, size, pcm, 360)", "PCM buffer is shorter"),
    ("decoder.decode(b'\\xff', 1, pcm, 320)", "no Opus packet"),
    ("opus.packet_samples(out, 0, 16000)", "length"),
    ("opus.packet_samples(out, size, 44100)", "rate"),
    ("opus.packet_samples(b'\\xff\\xff', 2, 16000)", "no Opus packet"),
]

WRONG_TYPE = [
    "encoder.encode(None, 320, out)",
    "encoder.encode(pcm, '320', out)",
    "encoder.encode(pcm, 320, bytes(40))",
    "encoder.encode(pcm, 320)",
    "decoder.decode(out, size, bytes(640), 320)",
    "decoder.decode(7, 1, pcm, 320)",
    "decoder.decode_fec(None, 0, pcm, 320)",
    "opus.Encoder.encode(decoder, pcm, 320, out)",
    "opus.Decoder.reset(encoder)",
    "opus.Encoder()",
]

TRY = """
import json
for expression in EXPRESSIONS:
    try:
        eval(expression)
        print(json.dumps(["accepted", expression]))
    except Exception as error:
        print(json.dumps([type(error).__name__, str(error)]))
print(decoder.decode(out, size, pcm, 320))
"""


def attempt(run_script: Callable[..., str], expressions: list[str]) -> list[list[str]]:
    """Evaluate each in one process, which must still work afterwards."""
    script = f"EXPRESSIONS = {expressions!r}\n{PREPARE}{TRY}"
    *told, last = run_script(script).splitlines()
    assert last == "320"
    return [json.loads(line) for line in told]


def test_every_wrong_value_is_named(run_script: Callable[..., str]) -> None:
    answers = attempt(run_script, [expression for expression, _ in REFUSED])
    for (expression, word), (kind, text) in zip(REFUSED, answers, strict=True):
        assert kind == "ValueError", (expression, kind, text)
        assert word in text, (expression, text)


def test_a_wrong_type_is_a_type_error(run_script: Callable[..., str]) -> None:
    answers = attempt(run_script, WRONG_TYPE)
    for expression, (kind, text) in zip(WRONG_TYPE, answers, strict=True):
        assert kind == "TypeError", (expression, kind, text)


def test_a_subclass_that_never_built_its_codec_is_refused(run_script: Callable[..., str]) -> None:
    script = """
class Half(opus.Decoder):
    def __init__(self):
        pass
try:
    Half().decode(out, size, pcm, 320)
except TypeError as error:
    print("refused:", error)
"""
    assert run_script(PREPARE + script).startswith("refused: ")


def test_what_the_module_tells(run_script: Callable[..., str]) -> None:
    script = "print(opus.version()); print(opus.packet_samples(out, size, 48000))"
    assert run_script(PREPARE + script).split("\n")[:2] == ["libopus 1.3.1-fixed", "960"]


def valid_packets(run_script: Callable[..., str]) -> list[bytes]:
    script = """
import random
random.seed(3)
for n, rate in ((320, 12000), (960, 24000), (320, 64000), (1920, 48000), (40, 20000)):
    encoder.tune(rate, -1, 1, 25)
    for _ in range(4):
        data = array.array("h", (random.getrandbits(12) for _ in range(n)))
        print(bytes(out[:encoder.encode(data, n, out)]).hex())
"""
    return [bytes.fromhex(line) for line in run_script(PREPARE + script).split()]


def garbage(packets: list[bytes], chance: random.Random) -> bytes:
    """Noise, or a real packet that was cut, grown, flipped or spliced."""
    packet = bytearray(chance.choice(packets))
    kind = chance.randrange(5)
    if kind == 0:
        return chance.randbytes(chance.choice([1, 2, 3, 7, 40, 200, 1275, 1276, 3000]))
    if kind == 1:
        return bytes(packet[: chance.randint(1, len(packet))])
    if kind == 2:
        return bytes(packet) + chance.randbytes(chance.randint(1, 2000))
    if kind == 3:
        for _ in range(chance.randint(1, 8)):
            packet[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
        return bytes(packet)
    return bytes([chance.randrange(256)]) + bytes(packet[1:]) + bytes(chance.choice(packets))


def garbage_operations(packets: list[bytes], seed: int, count: int) -> list[Operation]:
    chance = random.Random(seed)
    operations: list[Operation] = [["new", 16000, 24000, 5, chance.choice([16000, 24000, 48000])]]
    for _ in range(count):
        text = garbage(packets, chance).hex()
        operations.append([chance.choice(["decode", "decode", "fec"]), text, 1920])
        if chance.random() < 0.1:
            operations.append(["decode", "", 480])
    return operations


@pytest.mark.parametrize("seed", range(3))
def test_garbage_is_refused_or_decoded_as_libopus_does_it(
    seed: int, device: RunsOperations, reference: RunsOperations, run_script: Callable[..., str]
) -> None:
    operations = garbage_operations(valid_packets(run_script), seed, 300)
    answers = device.run(operations)
    assert answers == reference.run(operations)
    refused = sum(status == -1 for status, _ in answers)
    assert 20 < refused < len(answers) - 20


@pytest.mark.native
@pytest.mark.timeout(400)
@pytest.mark.parametrize("board", ["armv6m", "armv7emsp"], indirect=True)
def test_garbage_is_refused_alike_on_arm(
    board: RunsOperations, reference: RunsOperations, run_script: Callable[..., str]
) -> None:
    operations = garbage_operations(valid_packets(run_script), 3, 300)
    answers, expected = board.run(operations), reference.run(operations)
    # Signals that no encoder makes overflow libopus' arithmetic, which wraps otherwise with 64 bits
    # and with the M4's multiplications: the sound differs, what is refused does not.
    assert [status for status, _ in answers] == [status for status, _ in expected]


OPERATIONS = st.one_of(
    st.tuples(st.just("encode"), st.integers(0, 60000), st.sampled_from([80, 160, 320, 640, 960]),
              st.integers(1, 1276)),
    st.tuples(st.just("tune"), st.integers(6000, 80000), st.integers(-1, 10), st.integers(-1, 1),
              st.integers(-1, 100)),
    st.tuples(st.just("decode"), st.binary(min_size=1, max_size=200).map(bytes.hex),
              st.sampled_from([80, 320, 960, 1920])),
    st.tuples(st.just("decode"), st.just(""), st.sampled_from([240, 480, 960])),
    st.tuples(st.just("reset")),
)  # fmt: skip


@given(st.lists(OPERATIONS, min_size=1, max_size=30), st.sampled_from([8000, 16000, 48000]))
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_sequence_of_calls_gives_what_libopus_gives(
    device: RunsOperations,
    reference: RunsOperations,
    calls: list[tuple[str | int, ...]],
    rate: int,
) -> None:
    operations: list[Operation] = [["new", 16000, 20000, 2, rate], *(list(call) for call in calls)]
    assert device.run(operations) == reference.run(operations)
