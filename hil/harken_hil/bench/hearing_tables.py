"""Tables of the page on how well the device hears, from the benches' JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harken_models.scenes.corpora import talkers
from harken_models.train.card import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    Result = Mapping[str, Any]

__all__ = [
    "device_table",
    "echo_table",
    "filled",
    "goal_table",
    "talker_table",
    "vad_table",
    "wake_table",
]

_HOPS_A_CYCLE: Final = 100 / 240_000_000
"""Of a core of 240 MHz."""
_AFTER_CLEANERS: Final = (
    "features", "wake word", "stop word", "vad", "decision", "noise", "encoder", "decoder"
)  # fmt: skip


def filled(page: str, tables: Mapping[str, str]) -> str:
    """A page with the text between its marks replaced.

    Args:
        page: Markdown with `<!-- NAME -->` and `<!-- /NAME -->`, each on a line of its own.
        tables: what belongs between them, by name; what has no marks is left out.
    """
    for name, text in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if found and closed:
            page = f"{before}{begin}\n{text.strip()}\n\n{end}{after}"
    return page


def goal_table(result: Result) -> str:
    """Every figure beside what it is held against, and whether its goal is met."""
    rows: list[tuple[str, ...]] = []
    for line in result["figures"]:
        detail = line["detail"]
        perfect = detail.get("by", {}).get("perfect")
        beside = [
            f"{line[side + '_name'] or side} {_short(line[side])}"
            for side in ("rival", "floor")
            if line[side] is not None
        ]
        beside += [f"perfect {_short(perfect)}"] if perfect is not None else []
        ratio = "" if line["ratio"] is None else f"{line['ratio']:.2f}"
        met = "met" if line["met"] else "**not met**"
        rows.append(
            (line["name"], f"{_short(line['figure'])} {line['unit']}", "; ".join(beside), ratio,
             line["goal"], met)
        )  # fmt: skip
    return table(("figure", "harken", "beside", "ratio", "goal", ""), rows)


def _short(value: float) -> str:
    """Three digits, and no powers of ten."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def talker_table() -> str:
    """Who is heard in training and in measuring."""
    rows = [
        (split, each.talker, each.language, each.source, each.licence, each.clips,
         f"{each.minutes:.1f}")
        for split in ("train", "test")
        for each in talkers(split)
    ]  # fmt: skip
    head = ("split", "talker", "language", "package", "licence", "clips", "minutes")
    return table(head, rows)


def echo_table(result: Result) -> str:
    """Every canceller's means, and the CPU of those that were timed."""
    figures = {line["name"]: line for line in result["figures"]}
    erle = figures["ERLE once converged, far end alone"]
    echo = figures["AECMOS echo, both talking"]
    other = figures["AECMOS other degradation, both talking"]
    words = figures.get("words misheard, both talking")
    cost = figures["a 10 ms hop, canceller and suppressor"]
    whole = figures["a 10 ms hop, with noise suppression and gain as well"]
    cpu = {
        "harken": cost["figure"],
        "harken, everything": whole["figure"],
        "SpeexDSP": cost["rival"],
        "SpeexDSP without suppressor": cost["floor"],
        **cost["detail"],
    }
    rows = [
        (
            name,
            f"{converged:.1f}",
            f"{erle['detail']['from the first second'][name]:.1f}",
            f"{echo['detail']['far end alone'][name]:.2f}",
            f"{echo['detail']['by'][name]:.2f}",
            f"{other['detail']['by'][name]:.2f}",
            f"{words['detail']['by'][name]:.0%}" if words else "",
            f"{cpu[name]:.0f}" if name in cpu else "",
        )
        for name, converged in erle["detail"]["by"].items()
    ]
    head = (
        "canceller", "ERLE converged, dB", "from the first second", "AECMOS echo, far end alone",
        "AECMOS echo, both talk", "AECMOS other, both talk", "words misheard", "CPU us in 10 ms",
    )  # fmt: skip
    return table(head, rows)


def vad_table(result: Result) -> str:
    """Areas by background, and lags."""
    area, lag = result["figures"][0]["detail"], result["figures"][1]["detail"]
    names = list(area["by"])
    groups = list(area["by background"][names[0]])
    rows = [("mean without babble", *(f"{area['by'][name]:.3f}" for name in names))]
    rows += [
        (group, *(f"{area['by background'][name][group]:.3f}" for name in names))
        for group in groups
    ]
    rows.append(("end lag, median, ms", *(f"{lag['by'][name]:.0f}" for name in names)))
    rows += [
        (f"end lag, {key}", *(f"{lag['more'][name][key]:g}" for name in names))
        for key in ("median without a room", "90 % within", "cut off early by more than 100 ms")
    ]
    return table(("area under the ROC curve", *names), rows)


def wake_table(result: Result) -> str:
    """Misses by surroundings and false accepts of every model, on our engine."""
    models = result["data"]["models"]
    false = {
        line["name"].partition(":")[0]: line
        for line in result["figures"]
        if "false accepts" in line["name"]
    }
    around = list(next(iter(models.values()))["surroundings"])
    rows = [
        (
            model["phrase"],
            model["cutoff"],
            *(f"{model['surroundings'][each]:.0%}" for each in around),
            f"{false[name]['figure']:.0f} in {model['hours']:.1f} h",
        )
        for name, model in models.items()
    ]
    head = ("phrase", "cut-off", *(f"missed, {each}" for each in around), "false accepts")
    return table(head, rows)


def device_table(result: Result) -> str:
    """Instructions, RAM and flash by part."""
    data = result["data"]
    mean: Mapping[str, int] = data["mean"]
    which: Mapping[str, str] = data["words"]
    cleaners = [part for part in mean if part.startswith("cleaner")]
    known = [*cleaners, *(part for part in _AFTER_CLEANERS if part in mean)]
    rows: list[tuple[str, ...]] = []
    for part in known:
        key = "cleaner" if part in cleaners else part
        rows.append((
            f"{part} ({which[part]})" if part in which else part,
            f"{mean[part]:,}",
            f"{data['worst'][part]:,}",
            f"{mean[part] * _HOPS_A_CYCLE:.1%}",
            *(f"{data[kind][key]:,} B" if key in data[kind] else "" for kind in ("ram", "flash")),
        ))  # fmt: skip
    head = ("part", "instructions in 10 ms", "worst call", "share of 240 MHz", "RAM", "flash")
    return table(head, rows)
