"""Who may ask: hosts, origins and tokens."""

from __future__ import annotations

import pytest

from harken.web.guard import bearer, host_of, is_foreign, token_among


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("127.0.0.1:8003", "127.0.0.1"),
        ("gateway.local", "gateway.local"),
        ("[::1]:80", "[::1]"),
        ("", ""),
        ("a b", ""),
        ("evil/../x:80", ""),
        ("x:port", ""),
        ("user@host", ""),
        ("[::1", ""),
    ],
)
def test_the_host_of_a_header(header: str, host: str) -> None:
    assert host_of(header) == host


@pytest.mark.parametrize(
    ("host", "origin", "foreign"),
    [
        ("127.0.0.1:8003", None, False),
        ("localhost:8003", None, False),
        ("[::1]:8003", None, False),
        ("127.0.0.1:8003", "http://127.0.0.1:8003", False),
        ("[::1]:8003", "http://[::1]:8003", False),
        ("evil.example", None, True),
        ("127.0.0.1.evil.example:8003", None, True),
        ("127.0.0.1:8003", "https://evil.example", True),
        ("127.0.0.1:8003", "null", True),
        ("127.0.0.1:8003", "http://[broken", True),
        ("", None, True),
    ],
)
def test_a_loopback_gateway_answers_loopback_names(
    host: str, origin: str | None, *, foreign: bool
) -> None:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    assert is_foreign(headers, loopback=True) is foreign


def test_beyond_loopback_any_name_serves_but_not_another_site_s_page() -> None:
    assert not is_foreign({"Host": "toys.example:8003"}, loopback=False)
    same = {"Host": "Toys.example:8003", "Origin": "https://toys.example"}
    assert not is_foreign(same, loopback=False)
    assert is_foreign({**same, "Origin": "https://evil.example"}, loopback=False)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Bearer ", ""),
        ("Bearer", ""),
        ("Basic abc", ""),
        ("", ""),
    ],
)
def test_the_bearer_token(header: str, token: str) -> None:
    assert bearer(header) == token


def test_a_token_is_known_whole_or_not_at_all() -> None:
    tokens = ("0123456789abcdef", "fedcba9876543210")
    assert token_among("fedcba9876543210", tokens)
    assert not token_among("fedcba987654321", tokens)
    assert not token_among("", tokens)
    assert not token_among("ü", tokens)
    assert not token_among("", ())
