"""Text to samples through the engines, many utterances at a time, reproducibly.

Every engine runs in processes of its own: Piper and espeak-ng are under the GPL, and the library
of SVOX Pico may crash.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harken.errors import StartError
from harken_models.store import weights
from harken_models.train.accents import ACCENTS, accented, is_vowel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harken_models.train.progress import Report
    from harken_models.train.voices import Voice

    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]

__all__ = ["RATE", "Utterance", "spoken"]

RATE = 16_000
_DEADLINE_S = 300.0
_WORDS_A_MINUTE = 160
# onnxruntime draws Piper's noise; nothing on Piper's command line sets its seed.
_PIPER = (
    "import sys, onnxruntime; onnxruntime.set_seed({seed}); import piper.__main__ as p; p.main()"
)
_PICO = """
import sys, wave, ttspico
engine = ttspico.TtsEngine(sys.argv[1])
for line in sys.stdin:
    path, text = line.rstrip("\\n").split("\\t")
    with wave.open(path, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(engine.speak(text) or b"")
"""
# About how high those talkers speak, in hertz; the child is a boy.
_PITCHES = {
    "lp_diphone": 185, "pc_diphone": 115, "suo_fi_lj_diphone": 180, "hy_fi_mv_diphone": 105,
    "czech_ph": 110, "czech_dita": 185, "czech_krb": 250, "czech_machac": 110,
}  # fmt: skip
_EDGE_S = 0.03
_AUDIBLE = 0.02


@dataclass(frozen=True)
class Utterance:
    """What is said, and how.

    Attributes:
        voice: who says it.
        text: what.
        speed: 1 is the voice's own; 1.2 is a fifth quicker.
        pitch: 1 is the voice's own; 1.1 is a tenth higher.
    """

    voice: Voice
    text: str
    speed: float = 1.0
    pitch: float = 1.0


def spoken(utterances: Sequence[Utterance], scratch: Path, report: Report) -> list[Samples]:
    """Let the voices speak.

    Args:
        utterances: any mixture of voices.
        scratch: an empty folder for the engines' files; they are removed again.
        report: called with utterances done, of all, and the engine.

    Returns:
        int16 [n], 16 kHz, one for each utterance, without silence around it.

    Raises:
        StartError: an engine failed.
    """
    results: dict[int, Samples] = {}
    by_engine: dict[str, list[int]] = {}
    for number, utterance in enumerate(utterances):
        by_engine.setdefault(utterance.voice.engine, []).append(number)
    for engine, numbers in by_engine.items():
        paths = [scratch / f"{number}.wav" for number in numbers]

        def told(done: int, engine: str = engine) -> None:
            report(len(results) + done, len(utterances), engine)

        _ENGINES[engine]([utterances[number] for number in numbers], paths, told)
        for number, path in zip(numbers, paths, strict=True):
            results[number] = _trimmed(_read(path, utterances[number]))
            path.unlink()
    return [results[number] for number in range(len(utterances))]


def _espeak(
    utterances: Sequence[Utterance], paths: Sequence[Path], told: Callable[[int], None]
) -> None:
    def command(each: Utterance, path: Path) -> list[str]:
        pitch = round(50 * (1 + 2 * (each.pitch - 1)))
        speed = round(_WORDS_A_MINUTE * each.speed)
        voice = ["-v", each.voice.name, "-s", str(speed), "-p", str(min(max(pitch, 0), 99))]
        return ["espeak-ng", *voice, "-w", str(path), "--", each.text]

    _one_by_one([command(*pair) for pair in zip(utterances, paths, strict=True)], told)


def _flite(
    utterances: Sequence[Utterance], paths: Sequence[Path], told: Callable[[int], None]
) -> None:
    means = {"kal16": 105, "awb": 125, "rms": 100, "slt": 170}

    def command(each: Utterance, path: Path) -> list[str]:
        mean = means.get(each.voice.name, 120) * each.pitch
        settings = [f"duration_stretch={1 / each.speed:.3f}", f"int_f0_target_mean={mean:.0f}"]
        options = [part for setting in settings for part in ("--setf", setting)]
        return ["flite", "-voice", each.voice.name, *options, "-t", each.text, "-o", str(path)]

    _one_by_one([command(*pair) for pair in zip(utterances, paths, strict=True)], told)


def _one_by_one(commands: Sequence[list[str]], told: Callable[[int], None]) -> None:
    """Short programs, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        for done, _ in enumerate(pool.map(_run, commands), 1):
            told(done)


def _festival(
    utterances: Sequence[Utterance], paths: Sequence[Path], told: Callable[[int], None]
) -> None:
    # Starting festival takes longer than speaking: one process says fifty.
    lines: list[str] = []
    for done, (each, path) in enumerate(zip(utterances, paths, strict=True), 1):
        lines += [
            f"(voice_{each.voice.name})",
            f"(Parameter.set 'Duration_Stretch {1 / each.speed:.3f})",
            f'(utt.save.wave (utt.synth {_said(each, done)}) "{path}" \'riff)',
        ]
        if done % 50 == 0 or done == len(utterances):
            script = path.with_suffix(".scm")
            script.write_text("\n".join(lines), encoding="utf-8")
            _run(["festival", "-b", str(script)])
            script.unlink()
            lines = []
            told(done)


def _said(each: Utterance, number: int) -> str:
    """An utterance for festival: text, or sounds with lengths and a melody of our own."""
    if each.voice.name not in ACCENTS:
        text = each.text.replace("\\", " ").replace('"', " ")
        return f'(Utterance Text "{text}")'
    rng = np.random.default_rng(number)
    [sounds] = accented([each.text], each.voice.name)
    hertz = _PITCHES[each.voice.name] * each.pitch * rng.uniform(1.0, 1.15)
    parts = ['("#" 0.1)']
    for sound in sounds:
        length = (0.09 if is_vowel(sound) else 0.065) * rng.uniform(0.8, 1.25) / each.speed
        length *= 1.3 if sound.endswith(":") else 1.0
        hertz *= rng.uniform(0.93, 1.03)
        parts.append(f'("{sound}" {length:.3f} (0.01 {hertz:.0f}))')
    return f'(Utterance Segments ({" ".join(parts)} ("#" 0.1)))'


def _piper(
    utterances: Sequence[Utterance], paths: Sequence[Path], told: Callable[[int], None]
) -> None:
    """One process for each speed; the model's own noise makes renditions differ."""
    by_speed: dict[tuple[str, float], list[int]] = {}
    for number, each in enumerate(utterances):
        by_speed.setdefault((each.voice.name, round(1 / each.speed, 1)), []).append(number)
    done = 0
    for seed, ((name, stretch), numbers) in enumerate(sorted(by_speed.items())):
        folder = paths[0].parent / f"piper-{seed}"
        folder.mkdir()
        noise = 0.5 + 0.1 * (seed % 5)
        command = [
            sys.executable, "-c", _PIPER.format(seed=seed + 1), "-m", str(weights(name)),
            "-d", str(folder), "--length-scale", str(stretch),
            "--noise-scale", f"{noise:.2f}", "--noise-w-scale", f"{noise + 0.2:.2f}",
        ]  # fmt: skip
        _run(command, "\n".join(utterances[number].text for number in numbers))
        # Named after the time, in the order in which they were said.
        files = sorted(folder.glob("*.wav"), key=lambda file: int(file.stem))
        if len(files) != len(numbers):
            raise StartError(f"Piper said {len(files)} of {len(numbers)} texts")
        for number, file in zip(numbers, files, strict=True):
            file.rename(paths[number])
        folder.rmdir()
        done += len(numbers)
        told(done)


def _pico(
    utterances: Sequence[Utterance], paths: Sequence[Path], told: Callable[[int], None]
) -> None:
    """One process for each voice: the library crashes with two in one."""
    done = 0
    for name in sorted({each.voice.name for each in utterances}):
        lines: list[str] = []
        mine = [pair for pair in zip(utterances, paths, strict=True) if pair[0].voice.name == name]
        texts = [each.text for each, _ in mine]
        if name in ACCENTS:
            texts = [f'<phoneme ph="{" ".join(sounds)}"/>' for sounds in accented(texts, name)]
        for (each, path), text in zip(mine, texts, strict=True):
            speed, pitch = round(100 * each.speed), round(100 * each.pitch)
            inner = f'<pitch level="{pitch}">{text}</pitch>'
            lines.append(f'{path}\t<speed level="{speed}">{inner}</speed>')
        _run([sys.executable, "-c", _PICO, name], "\n".join(lines))
        done += len(lines)
        told(done)


_ENGINES: dict[
    str, Callable[[Sequence[Utterance], Sequence[Path], Callable[[int], None]], None]
] = {
    "espeak-ng": _espeak,
    "flite": _flite,
    "festival": _festival,
    "piper": _piper,
    "pico": _pico,
}


def _run(command: list[str], text: str = "") -> None:
    try:
        done = subprocess.run(
            command, input=text, text=True, capture_output=True, timeout=_DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartError(f"{command[0]} could not speak ({error})") from error
    if done.returncode:
        why = done.stderr.strip().splitlines()
        raise StartError(f"{command[0]} could not speak: {why[-1] if why else done.returncode}")


def _read(path: Path, utterance: Utterance) -> Samples:
    try:
        with wave.open(str(path)) as file:
            rate, channels = file.getframerate(), file.getnchannels()
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    except (OSError, EOFError, wave.Error) as error:
        raise StartError(f"{utterance.voice.name} did not say {utterance.text!r}") from error
    signal: Any = importlib.import_module("scipy.signal")
    mono = samples[::channels].astype(np.float64)
    even = mono if rate == RATE else signal.resample_poly(mono, RATE, rate)
    return np.clip(np.rint(even), -32768, 32767).astype(np.int16)


def _trimmed(samples: Samples) -> Samples:
    """Without what is 34 dB or more below the loudest, but for 30 ms around."""
    if samples.size < RATE // 100:
        return samples
    size = np.abs(samples.astype(np.int32))
    heard = np.flatnonzero(size > _AUDIBLE * int(size.max()))
    edge = round(_EDGE_S * RATE)
    first = max(int(heard[0]) - edge, 0) if heard.size else 0
    last = int(heard[-1]) + edge if heard.size else samples.size
    return samples[first:last]
