"""The gateway's configuration: defaults, then a file, then the environment, then flags."""

from harken.config.load import Loaded, load
from harken.config.settings import (
    AgentSettings,
    EndpointSettings,
    LlmSettings,
    LogSettings,
    ModelSettings,
    ServerSettings,
    SessionSettings,
    Settings,
    SttSettings,
    TtsSettings,
)

__all__ = [
    "AgentSettings",
    "EndpointSettings",
    "LlmSettings",
    "Loaded",
    "LogSettings",
    "ModelSettings",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "SttSettings",
    "TtsSettings",
    "load",
]
