"""A program of its own: speaks lines of text with Piper.

Piper is under the GPL: this program runs it, the rest of Harken neither contains nor imports it. It
reads one JSON object a line from its standard input, `{"id": N, "text": "..."}`, and answers on its
standard output with frames `u32 id | u32 length | length bytes`, little endian: int16 mono audio
piece by piece, then a frame of length 0 at the end of each text. Its first frame has id 0 and holds
JSON: the sample rate. It ends with its input.

    python piper_program.py VOICE.onnx THREADS
"""

from __future__ import annotations

import importlib
import json
import struct
import sys
from pathlib import Path
from typing import Any


def load(voice: Path, threads: int) -> Any:
    """The voice, its threads not spinning while they wait: others need the processor."""
    onnxruntime: Any = importlib.import_module("onnxruntime")  # neither has complete types
    piper: Any = importlib.import_module("piper")

    # The voice varies at random; the same question is to sound the same in every run.
    onnxruntime.set_seed(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    config = json.loads(voice.with_name(f"{voice.name}.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(str(voice), options, providers=["CPUExecutionProvider"])
    return piper.PiperVoice(session=session, config=piper.PiperConfig.from_dict(config))


def send(number: int, payload: bytes) -> None:
    """One frame out."""
    sys.stdout.buffer.write(struct.pack("<II", number, len(payload)) + payload)
    sys.stdout.buffer.flush()


def main() -> None:
    """Load the voice, say where we are, speak what comes."""
    voice = load(Path(sys.argv[1]), int(sys.argv[2]))
    list(voice.synthesize("Hello there."))
    send(0, json.dumps({"rate": voice.config.sample_rate}).encode())
    for line in sys.stdin.buffer:
        request = json.loads(line)
        for chunk in voice.synthesize(request["text"]):
            send(request["id"], chunk.audio_int16_bytes)
        send(request["id"], b"")


if __name__ == "__main__":
    main()
