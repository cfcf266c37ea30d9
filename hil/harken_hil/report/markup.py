"""HTML and SVG out of values, escaped unless it is markup already."""

from __future__ import annotations

import html
import unicodedata

_VOID = frozenset({"meta", "br", "hr", "link"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: str) -> Markup:
    """Any text, safe inside an element or a quoted attribute; control characters are replaced."""
    clean = "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(char) in {"Cc", "Cs", "Cf"} and char not in "\n\t"
        else char
        for char in value
    )
    return Markup(html.escape(clean, quote=True))


def tag(name: str, /, *children: str, **attributes: str | float | bool | None) -> Markup:
    """An element.

    Args:
        name: of the element, trusted.
        children: plain strings are escaped, `Markup` is not.
        attributes: `class_` and `for_` lose their underscore, other underscores become hyphens;
            None and False leave an attribute out, True gives it no value.
    """
    head = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    if name in _VOID:
        return Markup(head)
    inside = "".join(child if isinstance(child, Markup) else text(child) for child in children)
    return Markup(f"{head}{inside}</{name}>")


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
    return f' {name}="{text(str(value))}"'


def join(*pieces: Markup) -> Markup:
    """Markup one after the other."""
    return Markup("".join(pieces))
