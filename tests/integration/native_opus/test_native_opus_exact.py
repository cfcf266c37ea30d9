"""The device's Opus gives, bit for bit, what libopus' own fixed-point build gives."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Operation, RunsOperations


pytestmark = pytest.mark.integration

GOLDEN = Path(__file__).resolve().parents[2] / "data" / "native_opus" / "golden.json"
RATE = 16000


def speech_turn(
    clip: bytes, complexity: int, milliseconds: int, decoder_rate: int
) -> list[Operation]:
    """The whole clip, encoded frame by frame and decoded again."""
    samples = RATE * milliseconds // 1000
    room = decoder_rate * milliseconds // 1000
    operations: list[Operation] = [["new", RATE, 24000, complexity, decoder_rate]]
    for offset in range(0, len(clip) // 2 - samples + 1, samples):
        operations += [["encode", offset, samples, 1276], ["again", room]]
    return operations


def summary(answers: list[list[str | int]]) -> str:
    return hashlib.sha256(json.dumps(answers).encode()).hexdigest()


CASES = [(0, 20, 16000), (5, 20, 16000), (10, 20, 16000), (5, 60, 24000), (0, 60, 48000)]


def golden_name(case: tuple[int, int, int]) -> str:
    return "complexity {}, {} ms, decoded at {} Hz".format(*case)


@pytest.mark.parametrize("case", CASES, ids=golden_name)
def test_speech_is_what_upstream_makes_of_it(
    case: tuple[int, int, int], clip: bytes, device: RunsOperations, reference: RunsOperations
) -> None:
    operations = speech_turn(clip, *case)
    answers = device.run(operations)
    assert all(int(status) >= 0 for status, _ in answers)
    assert answers == reference.run(operations)
    assert summary(answers) == json.loads(GOLDEN.read_text("utf-8"))[golden_name(case)]


def test_lost_packets_are_concealed_and_recovered_alike(
    clip: bytes, device: RunsOperations, reference: RunsOperations
) -> None:
    chance = random.Random(7)
    operations: list[Operation] = [["new", RATE, 24000, 5, RATE], ["tune", -1, -1, 1, 20]]
    lost = False
    for offset in range(0, len(clip) // 2 - 319, 320):
        operations.append(["encode", offset, 320, 1276])
        if chance.random() < 0.2:
            if lost:
                operations.append(["decode", "", 320])
            lost = True
            continue
        if lost:
            operations.append(["fec", "", 320])
        operations.append(["again", 320])
        lost = False
    answers = device.run(operations)
    assert answers == reference.run(operations)
    used = {str(name) for name, *_ in operations}
    assert {"fec", "decode"} <= used


def test_tuning_takes_effect_in_the_middle_of_a_stream(
    device: RunsOperations, reference: RunsOperations
) -> None:
    operations: list[Operation] = [["new", RATE, 12000, 0, RATE]]
    settings = [(40000, -1, -1, -1), (-1, 10, -1, -1), (-1, -1, 1, 30), (6000, 3, 0, 0)]
    for index, tuning in enumerate(settings):
        operations.append(["tune", *tuning])
        for frame in range(10):
            operations += [["encode", 8000 + 320 * (10 * index + frame), 320, 1276], ["again", 320]]
    answers = device.run(operations)
    assert answers == reference.run(operations)
    sizes = [
        int(status)
        for (name, *_), (status, _) in zip(operations, answers, strict=True)
        if name == "encode"
    ]
    assert sum(sizes[:10]) > 2 * sum(sizes[30:])


def test_a_reset_codec_is_as_new(device: RunsOperations) -> None:
    frames: list[Operation] = []
    for frame in range(12):
        frames += [["encode", 8000 + 320 * frame, 320, 1276], ["again", 320]]
    answers = device.run([["new", RATE, 24000, 5, RATE], *frames, ["reset"], *frames])
    first, second = answers[1 : 1 + len(frames)], answers[2 + len(frames) :]
    assert first == second
    assert first[2:4] != first[0:2]


@pytest.mark.parametrize("rate", [8000, 12000, 24000, 48000])
@pytest.mark.parametrize("tenths_of_ms", [25, 50, 100, 400, 800, 1000, 1200])
def test_every_rate_and_frame_length(
    rate: int, tenths_of_ms: int, device: RunsOperations, reference: RunsOperations
) -> None:
    samples = rate * tenths_of_ms // 10000
    operations: list[Operation] = [["new", rate, 32000, 3, rate]]
    for frame in range(3):
        operations += [["encode", 4000 + samples * frame, samples, 4000], ["again", samples]]
    answers = device.run(operations)
    assert all(int(status) >= 0 for status, _ in answers)
    assert answers == reference.run(operations)


@pytest.mark.parametrize("room", [1, 2, 3, 10, 40])
def test_a_small_packet_buffer_is_never_overrun(
    room: int, device: RunsOperations, reference: RunsOperations
) -> None:
    operations: list[Operation] = [["new", RATE, 64000, 5, RATE]]
    operations += [["encode", 8000 + 320 * frame, 320, room] for frame in range(10)]
    answers = device.run(operations)
    assert all(int(status) <= room for status, _ in answers)
    assert answers == reference.run(operations)


@pytest.mark.native
@pytest.mark.timeout(240)
def test_the_golden_hashes_come_from_upstreams_own_build(
    clip: bytes, open_reference: Callable[[Path], RunsOperations], upstream_library: Path
) -> None:
    upstream = open_reference(upstream_library)
    found = {golden_name(case): summary(upstream.run(speech_turn(clip, *case))) for case in CASES}
    assert found == json.loads(GOLDEN.read_text("utf-8"))
