"""Settings out of their sources, each value with where it came from.

In order, a later one wins: the defaults, the configuration file, the environment
(`HARKEN_SERVER__HTTP_PORT=8080`), flags of the command line.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from harken.config.settings import Settings
from harken.errors import ConfigError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["ENVIRONMENT_PREFIX", "Key", "Loaded", "default_file", "keys", "load"]

ENVIRONMENT_PREFIX: Final = "HARKEN_"
_MAX_FILE: Final = 1 << 20
MASK: Final = "********"


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: `server.http_port`, what it may be, and what it is for."""

    name: str
    type: Any
    default: Any
    meaning: str
    allowed: str
    secret: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and where each came from.

    Attributes:
        settings: complete and in range.
        origins: key name -> "default", "file PATH", "environment NAME" or "flag --NAME".
        file: the configuration file that was read, if any.
    """

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None

    def value(self, name: str) -> Any:
        """The value of one key, e.g. `server.http_port`."""
        found: Any = self.settings
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def shown(self, key: Key) -> Any:
        """The value of one key as it may be shown: a secret is masked."""
        value = self.value(key.name)
        return MASK if key.secret and value else value


def _unwrap(annotation: msgspec.inspect.Type) -> tuple[msgspec.inspect.Type, str, bool]:
    meaning, secret = "", False
    while isinstance(annotation, msgspec.inspect.Metadata):
        # msgspec leaves the types of what these hold open.
        schema = cast("dict[str, Any]", annotation.extra_json_schema or {})
        extra = cast("dict[str, Any]", annotation.extra or {})
        meaning = meaning or str(schema.get("description", ""))
        secret = secret or bool(extra.get("secret"))
        annotation = annotation.type
    return annotation, meaning, secret


def _allowed(kind: msgspec.inspect.Type) -> str:
    info = msgspec.inspect
    if isinstance(kind, info.LiteralType):
        return "one of " + ", ".join(str(value) for value in kind.values)
    if isinstance(kind, info.IntType | info.FloatType):
        noun = "a whole number" if isinstance(kind, info.IntType) else "a number"
        low = f"from {kind.ge}" if kind.ge is not None else ""
        low = f"above {kind.gt}" if kind.gt is not None else low
        high = f"to {kind.le}" if kind.le is not None else ""
        high = f"below {kind.lt}" if kind.lt is not None else high
        return " ".join(filter(None, (noun, low, high)))
    if isinstance(kind, info.VarTupleType):
        return f"a list, each {_allowed(_unwrap(kind.item_type)[0])}"
    if isinstance(kind, info.StrType) and kind.min_length:
        return f"text of at least {kind.min_length} characters"
    return "text"


def _walk(struct: type[msgspec.Struct], prefix: str) -> Iterator[Key]:
    described = msgspec.inspect.type_info(struct)
    assert isinstance(described, msgspec.inspect.StructType)
    for field, plain in zip(described.fields, msgspec.structs.fields(struct), strict=True):
        name = f"{prefix}{field.name}"
        kind, meaning, secret = _unwrap(field.type)
        if isinstance(kind, msgspec.inspect.StructType):
            yield from _walk(kind.cls, f"{name}.")
        else:
            yield Key(name, plain.type, field.default, meaning, _allowed(kind), secret)


def keys() -> dict[str, Key]:
    """Every setting there is, by name, in the order of the classes."""
    return {key.name: key for key in _walk(Settings, "")}


def default_file(environment: Mapping[str, str]) -> Path:
    """Where the configuration is looked for when nobody says where."""
    home = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "harken" / "harken.toml"


def load(
    *,
    file: Path | None = None,
    flags: Mapping[str, tuple[str, Any]] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """Read every source and check every value.

    Args:
        file: the configuration file; else `$HARKEN_CONFIG`, else `default_file` where it exists.
        flags: from the command line: flag -> key name and value; `None` means not given.
        environment: the process' own unless given.

    Raises:
        ConfigError: the file cannot be read, a key is unknown, or a value is not allowed.
    """
    environment = os.environ if environment is None else environment
    known = keys()
    values: dict[str, Any] = {}
    origins = dict.fromkeys(known, "default")
    path = _find_file(file, environment)
    sources = [
        *(_from_file(path, known) if path else ()),
        *_from_environment(environment, known),
        *_from_flags(flags or {}, known),
    ]
    for name, value, origin, exact in sources:
        values[name] = _convert(known[name], value, origin, exact=exact)
        origins[name] = origin
    return Loaded(_build(values), origins, path)


Source = tuple[str, Any, str, bool]
"""Key name, raw value, origin, and whether its type must be right already."""


def _find_file(file: Path | None, environment: Mapping[str, str]) -> Path | None:
    if file is not None:
        return file
    if named := environment.get("HARKEN_CONFIG"):
        return Path(named)
    path = default_file(environment)
    return path if path.is_file() else None


def _from_file(path: Path, known: Mapping[str, Key]) -> Iterator[Source]:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(
            f"the configuration file {path} cannot be read: {error.strerror}",
            hint="name another with --config or HARKEN_CONFIG",
        ) from error
    if len(content) > _MAX_FILE:
        raise ConfigError(f"the configuration file {path} is larger than {_MAX_FILE} bytes")
    try:
        table = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    yield from _flatten(table, "", f"file {path}", known)


def _flatten(
    table: Mapping[str, Any], prefix: str, origin: str, known: Mapping[str, Key]
) -> Iterator[Source]:
    for part, value in table.items():
        name = f"{prefix}{part}"
        if name in known:
            yield name, value, origin, True
        elif not any(key.startswith(f"{name}.") for key in known):
            raise _unknown(name, origin, known)
        elif isinstance(value, dict):
            yield from _flatten(cast("dict[str, Any]", value), f"{name}.", origin, known)
        else:
            raise ConfigError(
                f"{name} is a section, not a setting ({origin})", hint=f"write it as [{name}]"
            )


def _from_environment(environment: Mapping[str, str], known: Mapping[str, Key]) -> Iterator[Source]:
    flat = {name.replace(".", "_"): name for name in known}
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
        origin = f"environment {printable(variable, 80)}"
        if name in known:
            yield name, value, origin, False
        elif "." in name or name in flat:
            raise _unknown(name, origin, known, meant=flat.get(name), written=_as_variable)


def _from_flags(flags: Mapping[str, tuple[str, Any]], known: Mapping[str, Key]) -> Iterator[Source]:
    for flag, (name, value) in flags.items():
        if value is not None:
            assert name in known, name
            yield name, value, f"flag {flag}", False


def _as_variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper().replace(".", "__")


def _unknown(
    name: str,
    origin: str,
    known: Mapping[str, Key],
    *,
    meant: str | None = None,
    written: Callable[[str], str] = str,
) -> ConfigError:
    """The error for a name that is none, with the nearest that is one."""
    if meant is None:
        last = name.rpartition(".")[2]
        sections = {key.rpartition(".")[0] for key in known}
        near = difflib.get_close_matches(name, [*known, *sections], 1, 0.6)
        near += [key for key in known if key.rpartition(".")[2] == last]
        meant = near[0] if near else None
    hint = f"did you mean {written(meant)}?" if meant else "`harken config show` lists all"
    return ConfigError(f"there is no setting {printable(name, 80)!r} ({origin})", hint=hint)


def _convert(key: Key, value: Any, origin: str, *, exact: bool) -> Any:
    raw = value
    if not exact and isinstance(value, str) and key.allowed.startswith("a list"):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, key.type, strict=exact)
    except msgspec.ValidationError as error:
        shown = MASK if key.secret else printable(repr(raw), 80)
        raise ConfigError(
            f"{key.name} = {shown} ({origin}) is not allowed", hint=f"it is {key.allowed}"
        ) from error


def _build(values: Mapping[str, Any]) -> Settings:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *sections, last = name.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[last] = value
    return msgspec.convert(tree, Settings)
