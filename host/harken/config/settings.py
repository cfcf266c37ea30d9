"""Every setting of the gateway: its type, its range, its default and what it is for.

A section of the configuration file is a class here, a key is a field. `load.py` fills them from
the file, the environment and the command line; `docs/reference/configuration.md` lists them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "AgentSettings",
    "EndpointSettings",
    "LlmSettings",
    "LogSettings",
    "ModelSettings",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "SttSettings",
    "TtsSettings",
]


def _doc(text: str, **limits: Any) -> Meta:
    return Meta(description=text, **limits)


def _secret(text: str, **limits: Any) -> Meta:
    return Meta(description=text, extra={"secret": True}, **limits)


Port = Annotated[int, Meta(ge=0, le=65_535)]
Seconds = Annotated[float, Meta(gt=0, le=3_600)]


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[server]`: where devices find the gateway."""

    host: Annotated[str, _doc("address to listen on", min_length=1)] = "127.0.0.1"
    http_port: Annotated[Port, _doc("HTTP: bootstrap, health, metrics; 0 takes any free")] = 8003
    websocket_port: Annotated[Port, _doc("device WebSockets; 0 takes any free port")] = 8000
    public_host: Annotated[
        str, _doc("name or address that devices are told; empty: the one they asked")
    ] = ""
    websocket_version: Annotated[
        Literal[1, 2, 3], _doc("binary framing that the bootstrap answer asks devices for")
    ] = 3
    tls_certificate: Annotated[str, _doc("PEM file with the certificate chain")] = ""
    tls_key: Annotated[str, _doc("PEM file with the private key")] = ""
    tokens: Annotated[
        tuple[Annotated[str, Meta(min_length=16)], ...],
        _secret("what devices and people must show as `Authorization: Bearer TOKEN`"),
    ] = ()
    max_devices: Annotated[
        int, _doc("devices connected at once; further ones are refused", ge=1, le=10_000)
    ] = 200
    registry: Annotated[str, _doc("SQLite file of devices seen; empty: in the data folder")] = ""


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[session]`: how a conversation is kept."""

    idle_timeout_s: Annotated[
        Seconds, _doc("a device that sends nothing for so long is let go")
    ] = 120.0
    max_turn_s: Annotated[Seconds, _doc("the longest utterance of a user")] = 30.0
    answer_timeout_s: Annotated[
        Seconds, _doc("how long an agent may be silent before its turn is given up")
    ] = 30.0
    tool_timeout_s: Annotated[Seconds, _doc("how long a device may take to answer a tool")] = 5.0
    burst_ms: Annotated[
        int, _doc("audio sent ahead of what the device has played", ge=20, le=2_000)
    ] = 300
    downlink_bitrate: Annotated[
        int, _doc("bits a second of Opus to the device", ge=6_000, le=128_000)
    ] = 24_000
    downlink_complexity: Annotated[int, _doc("effort of the Opus encoder", ge=0, le=10)] = 3
    wake_words: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        _doc("what boards say that they heard; other text in its place was typed by a user"),
    ] = (
        "okay nabu",
        "hey jarvis",
        "hey mycroft",
        "alexa",
        "jarvis",
        "computer",
        "hi esp",
        "hi lexin",
        "hi jason",
        "小爱同学",
        "你好小智",
        "小智小智",
    )


class SttSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[agent.stt]`: speech to text."""

    engine: Annotated[
        Literal["whisper", "openai"], _doc("`whisper` runs here, `openai` is any such endpoint")
    ] = "whisper"
    model: Annotated[str, _doc("model name; empty: the engine's default")] = ""
    base_url: Annotated[str, _doc("root of an OpenAI-compatible endpoint")] = ""
    api_key: Annotated[str, _secret("key of that endpoint")] = ""
    timeout_s: Annotated[Seconds, _doc("deadline of one transcription")] = 15.0


class LlmSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[agent.llm]`: what thinks of the answer."""

    engine: Annotated[
        Literal["llama", "openai"], _doc("`llama` runs here, `openai` is any such endpoint")
    ] = "llama"
    model: Annotated[str, _doc("model name; empty: the engine's default")] = ""
    base_url: Annotated[str, _doc("root of an OpenAI-compatible endpoint")] = ""
    api_key: Annotated[str, _secret("key of that endpoint")] = ""
    timeout_s: Annotated[Seconds, _doc("deadline for each further token")] = 20.0
    max_tokens: Annotated[int, _doc("longest answer", ge=1, le=8_192)] = 96
    temperature: Annotated[float, _doc("0 always says the likeliest", ge=0, le=2)] = 0.0


class TtsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[agent.tts]`: text to speech."""

    engine: Annotated[
        Literal["piper", "openai"], _doc("`piper` runs here, `openai` is any such endpoint")
    ] = "piper"
    model: Annotated[str, _doc("model name; empty: the engine's default")] = ""
    voice: Annotated[str, _doc("voice name; empty: the engine's default")] = ""
    base_url: Annotated[str, _doc("root of an OpenAI-compatible endpoint")] = ""
    api_key: Annotated[str, _secret("key of that endpoint")] = ""
    timeout_s: Annotated[Seconds, _doc("deadline for each further piece of audio")] = 15.0


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[agent.endpoint]`: when a user's turn is over, where the device does not say so."""

    threshold: Annotated[float, _doc("speech probability that starts a turn", gt=0, lt=1)] = 0.5
    release: Annotated[float, _doc("probability below which speech has paused", gt=0, lt=1)] = 0.35
    min_speech_ms: Annotated[int, _doc("shorter bursts are noise", ge=0, le=2_000)] = 96
    silence_ms: Annotated[int, _doc("a pause so long ends the turn", ge=100, le=5_000)] = 500


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[agent]`: what listens and answers."""

    kind: Annotated[Literal["cascade"], _doc("speech to text, language model, speech")] = "cascade"
    instructions: Annotated[str, _doc("the persona")] = (
        "You are a friendly voice assistant in a small device. Answer in one short sentence."
    )
    language: Annotated[str, _doc("BCP 47 tag of what users speak", min_length=2)] = "en"
    stt: SttSettings = SttSettings()
    llm: LlmSettings = LlmSettings()
    tts: TtsSettings = TtsSettings()
    endpoint: EndpointSettings = EndpointSettings()


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[models]`: where models are kept."""

    directory: Annotated[str, _doc("folder of the model store; empty: the user's cache")] = ""


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[log]`: what is written down."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], _doc("the least that is written")
    ] = "info"
    format: Annotated[Literal["text", "json"], _doc("for people or for programs")] = "text"
    turns: Annotated[
        str, _doc("file that gets a JSON line, with the transcript, of each turn; empty: none")
    ] = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of the gateway."""

    server: ServerSettings = ServerSettings()
    session: SessionSettings = SessionSettings()
    agent: AgentSettings = AgentSettings()
    models: ModelSettings = ModelSettings()
    log: LogSettings = LogSettings()
