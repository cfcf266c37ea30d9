"""What the rig's gateway is configured by: nothing of its user's, unless the user asks.

A gateway that took the tokens, the port or the log file that somebody has configured for their own
would not be the rig's, and its figures not comparable.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from harken.config import load
from harken.config.load import ENVIRONMENT_PREFIX, keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harken.config import Settings

__all__ = ["RigSettings"]

# What a user's own file has a say in.
_THEIRS: Final = ("agent", "session")
# Where the model store is, is no setting of the gateway alone.
_KEPT: Final = ("HARKEN_MODELS",)


@dataclass(frozen=True, slots=True)
class RigSettings:
    """Where the gateway of the rig has its settings from.

    Attributes:
        file: its configuration file.
        environment: its whole environment.
    """

    file: Path
    environment: Mapping[str, str]

    @classmethod
    def of(cls, config: Path | None = None, environment: Mapping[str, str] | None = None) -> Self:
        """Those of the rig.

        Args:
            config: a file of the user, whose `[agent]` and `[session]` count, and so do variables
                of these sections (a key does not belong into a file); None for the defaults.
            environment: the process' own unless given.

        Raises:
            ConfigError: the file cannot be used.
        """
        own = os.environ if environment is None else environment
        theirs = tuple(f"{ENVIRONMENT_PREFIX}{section.upper()}__" for section in _THEIRS)
        kept = {
            name: value
            for name, value in own.items()
            if not name.startswith(ENVIRONMENT_PREFIX)
            or name in _KEPT
            or (config is not None and name.startswith(theirs))
        }
        if config is None:
            return cls(Path(os.devnull), kept)
        settings = cls(config, {**kept, **_defaults()})
        settings.load()
        return settings

    def load(self) -> Settings:
        """The settings as the gateway will find them.

        Raises:
            ConfigError: a setting is unknown or not allowed.
        """
        return load(file=self.file, environment=self.environment).settings


def _defaults() -> dict[str, str]:
    """Every setting that is not the user's, as a variable: those come after the file."""
    return {
        ENVIRONMENT_PREFIX + key.name.upper().replace(".", "__"): _written(key.default)
        for key in keys().values()
        if key.name.partition(".")[0] not in _THEIRS
    }


def _written(default: object) -> str:
    """As a variable has it; no list of these sections has anything in it by default."""
    return "" if default == () else str(default)
