"""Whatever a device says when it boots, only `MalformedError` comes out."""

from __future__ import annotations

import contextlib
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harken.errors import MalformedError
from harken.web.bootstrap import device_identity, read_report
from harken.web.guard import bearer, host_of, is_foreign

_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
_HEADERS = st.dictionaries(
    st.sampled_from(["Device-Id", "User-Agent", "Host", "Origin", "Authorization"]),
    st.text(max_size=60) | st.sampled_from(["http://[", "Bearer x", "127.0.0.1:1", "http://a:b"]),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["application", "board", "version", "type", "mac_address"]), inner
        )
    ),
    max_leaves=8,
)
_BODY = st.binary(max_size=80) | _JSON.map(lambda value: json.dumps(value).encode())


@_patient
@given(_HEADERS, _BODY)
def test_any_boot_request(headers: dict[str, str], body: bytes) -> None:
    with contextlib.suppress(MalformedError):
        report = read_report(headers, body)
        assert report.identity == device_identity(report.identity)
        assert isinstance(report.board, str)
        assert isinstance(report.firmware, str)


@_patient
@given(_HEADERS)
def test_any_headers(headers: dict[str, str]) -> None:
    is_foreign(headers, loopback=False)
    is_foreign(headers, loopback=True)
    token = bearer(headers.get("Authorization", ""))
    assert token.strip() == token
    host = host_of(headers.get("Host", ""))
    assert host == "" or headers["Host"].startswith(host)
