"""What `harken_opus` takes of a 256 KB heap, and that a frame takes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

PLAN = """
import gc, json
def used():
    gc.collect()
    return gc.mem_alloc()
start = used()
import harken_opus
module = used()
encoder = harken_opus.Encoder(16000, 24000, 5)
with_encoder = used()
decoder = harken_opus.Decoder(24000)
with_decoder = used()
print(json.dumps([module - start, with_encoder - module, with_decoder - with_encoder]))
"""

FRAMES = """
import array, gc
import harken_opus
encoder = harken_opus.Encoder(16000, 24000, 5)
decoder = harken_opus.Decoder(16000)
pcm = array.array("h", ((i * 7919) % 12001 - 6000 for i in range(320)))
out = bytearray(400)
back = array.array("h", bytes(640))

def frames():
    encoder.tune(-1, -1, 1, 20)
    for i in range(500):
        size = encoder.encode(pcm, 320, out)
        harken_opus.packet_samples(out, size, 16000)
        if i % 7 == 0:
            decoder.decode(None, 0, back, 320)
        if i % 11 == 0:
            decoder.decode_fec(out, size, back, 320)
        decoder.decode(out, size, back, 320)
    encoder.reset()
    decoder.reset()

frames()
gc.collect()
gc.disable()
before = gc.mem_alloc()
frames()
print(gc.mem_alloc() - before)
"""


def test_module_and_codecs_leave_most_of_the_heap(run_script: Callable[..., str]) -> None:
    module, encoder, decoder = json.loads(run_script(PLAN))
    # The figures of docs/reference/native-modules.md; the code itself is outside this heap here.
    assert module <= 2048
    assert encoder <= 25 * 1024
    assert decoder <= 18 * 1024


def test_a_frame_allocates_nothing(run_script: Callable[..., str]) -> None:
    assert run_script(FRAMES).split() == ["0"]


def test_codecs_outlive_the_module_and_are_freed_with_their_owner(
    run_script: Callable[..., str],
) -> None:
    script = """
import array, gc, sys
import harken_opus
encoder = harken_opus.Encoder(16000, 24000, 5)
pcm = array.array("h", bytes(640))
out = bytearray(400)
for _ in range(60):
    harken_opus.Decoder(48000)
del harken_opus, sys.modules["harken_opus"]
for _ in range(10):
    gc.collect()
    filler = [bytearray(997) for _ in range(100)]
print(all(encoder.encode(pcm, 320, out) > 0 for _ in range(20)))
"""
    assert run_script(script).split() == ["True"]
