"""Every error Harken raises on purpose, in one tree.

HarkenError
├── ConfigError            a setting is unknown, of the wrong type or out of range
├── ProtocolError          bytes from the other side do not follow their protocol
│   ├── MalformedError     cannot be parsed: truncated, oversize, not JSON, wrong header
│   └── UnexpectedError    well formed, but not allowed at this point
├── LinkError              the connection to a device failed
│   ├── LinkClosedError    it is closed; nothing more can be sent
│   └── AuthError          the device may not connect
├── AgentError             what listens and answers failed
│   └── AgentTimeoutError  it did not answer before its deadline
├── ToolError              a tool refused, failed or never answered
├── AudioError             samples or packets that cannot be coded
├── ModelError             a model is missing, corrupt or not supported
│   ├── ModelMissingError  not in the store: `harken models pull NAME`
│   ├── ModelHashError     its bytes are not those the manifest names
│   └── ModelFormatError   the engine cannot run it
├── StartError             a program or port that is needed could not be had
└── RigError               the simulated world or one of its devices failed

Each has a `code` (stable, for programs), a `hint` (what to do next, for people) and
`retryable` (whether the same call may succeed later without anybody doing anything).
"""

from __future__ import annotations

import unicodedata

__all__ = [
    "AgentError",
    "AgentTimeoutError",
    "AudioError",
    "AuthError",
    "ConfigError",
    "HarkenError",
    "LinkClosedError",
    "LinkError",
    "MalformedError",
    "ModelError",
    "ModelFormatError",
    "ModelHashError",
    "ModelMissingError",
    "ProtocolError",
    "RigError",
    "StartError",
    "ToolError",
    "UnexpectedError",
    "printable",
]


class HarkenError(Exception):
    """Anything Harken can name as wrong.

    Args:
        what: what went wrong and likely why, one sentence.
        hint: what to do next; empty where there is nothing to do.
    """

    code: str = "harken"
    retryable: bool = False

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint

    def __str__(self) -> str:
        what = super().__str__()
        return f"{what} ({self.hint})" if self.hint else what


class ConfigError(HarkenError):
    """A setting is unknown, of the wrong type or out of range."""

    code = "config"


class ProtocolError(HarkenError):
    """Bytes from the other side do not follow their protocol."""

    code = "protocol"


class MalformedError(ProtocolError):
    """Cannot be parsed: truncated, oversize, not JSON, wrong header."""

    code = "malformed"


class UnexpectedError(ProtocolError):
    """Well formed, but not allowed at this point."""

    code = "unexpected"


class LinkError(HarkenError):
    """The connection to a device failed."""

    code = "link"
    retryable = True


class LinkClosedError(LinkError):
    """The link is closed; nothing more can be sent."""

    code = "link_closed"


class AuthError(LinkError):
    """The device may not connect."""

    code = "auth"
    retryable = False


class AgentError(HarkenError):
    """What listens and answers failed."""

    code = "agent"
    retryable = True


class AgentTimeoutError(AgentError):
    """The agent did not answer before its deadline."""

    code = "agent_timeout"


class ToolError(HarkenError):
    """A tool refused, failed or never answered."""

    code = "tool"


class AudioError(HarkenError):
    """Samples or packets that cannot be coded."""

    code = "audio"


class ModelError(HarkenError):
    """A model is missing, corrupt or not supported."""

    code = "model"


class ModelMissingError(ModelError):
    """The model is not in the store."""

    code = "model_missing"


class ModelHashError(ModelError):
    """The model's bytes are not those that the manifest names."""

    code = "model_hash"


class ModelFormatError(ModelError):
    """The engine cannot run this model."""

    code = "model_format"


class StartError(HarkenError):
    """A program or port that is needed could not be had."""

    code = "start"


class RigError(HarkenError):
    """The simulated world or one of its devices failed."""

    code = "rig"


def printable(text: str, limit: int = 200) -> str:
    """Text from a device, safe for a log or a page: one line, no controls, bounded.

    Args:
        text: anything at all.
        limit: the most characters returned; a longer text ends in an ellipsis.
    """
    cut = text[: limit + 1]
    clean = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char).startswith("C") else char
        for char in cut
    )
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
