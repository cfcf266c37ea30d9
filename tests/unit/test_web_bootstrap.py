"""What a booting device says and what it is told."""

from __future__ import annotations

import pytest

from harken.errors import MalformedError
from harken.web.bootstrap import BootReport, boot_answer, device_identity, read_report

STOCK = b"""{"version":2,"language":"en-US","flash_size":16777216,
"mac_address":"AA:BB:CC:DD:EE:FF","uuid":"7d0a","chip_model_name":"esp32s3",
"application":{"name":"xiaozhi","version":"2.4.3"},"ota":{"label":"ota_0"},
"board":{"type":"esp-box-3","name":"esp-box-3","mac":"AA:BB:CC:DD:EE:FF"}}"""


def test_a_stock_board() -> None:
    headers = {"Device-Id": "aa:bb:cc:dd:ee:ff", "User-Agent": "esp-box-3/2.4.3"}
    wanted = BootReport("aa:bb:cc:dd:ee:ff", "esp-box-3", "2.4.3")
    assert read_report(headers, STOCK) == wanted
    assert read_report({}, STOCK) == wanted
    assert read_report(headers, b"") == wanted


def test_nothing_at_all_is_a_report_too() -> None:
    assert read_report({}, b"") == BootReport("", "", "")
    assert read_report({}, b" \r\n") == BootReport("", "", "")


@pytest.mark.parametrize(
    "body",
    [
        b'{"application": 3, "board": [], "mac_address": {}}',
        b'{"application": {"version": 3}, "board": {"type": null}, "mac_address": null}',
    ],
)
def test_fields_of_the_wrong_type_are_as_if_missing(body: bytes) -> None:
    assert read_report({}, body) == BootReport("", "", "")


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b'"x"', b"\xff\xfe", b"[" * 9_000, b"{}x"])
def test_a_body_that_is_no_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError, match="the body is not"):
        read_report({}, body)


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        (" AA:BB ", "aa:bb"),
        ("glasses-7_b.2", "glasses-7_b.2"),
        ("", ""),
        ("-x", ""),
        ("a b", ""),
        ("../../etc", ""),
        ("a" * 64, "a" * 64),
        ("a" * 65, ""),
        ("\u0130", ""),
        ("aa\n", "aa"),
        ("a\nb", ""),
    ],
)
def test_identities(text: str, identity: str) -> None:
    assert device_identity(text) == identity


def test_the_answer_has_the_clock_and_the_socket() -> None:
    url = "ws://127.0.0.1:8000/xiaozhi/v1/"
    answer = boot_answer(websocket_url=url, token="t", version=3, now=1_757_567_894.012)
    assert answer["websocket"] == {"url": url, "token": "t", "version": 3}
    assert answer["server_time"]["timestamp"] == 1_757_567_894_012
    assert isinstance(answer["server_time"]["timezone_offset"], int)
    assert answer["server_time"]["timeZone"]
