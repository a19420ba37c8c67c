from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import fields
from txstalecache.http.cachecontrol import NOTHING_SAID, Control, control
from txstalecache.http.fields import FOREVER
from txstalecache.http.targeted import Governing, governing, targeted_control


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"max-age=60", Control(max_age=60)),
        (b"max-age=2147483648", Control(max_age=FOREVER)),
        (b"max-age=99999999999", Control(max_age=FOREVER)),
        (b"max-age=-1", Control(max_age=0)),
        (b"max-age=60;ext=1", Control(max_age=60)),
        (b"foobar, max-age=60", Control(max_age=60)),
        (b"foobar", Control()),
        (b"s-maxage=9, max-age=60", Control(max_age=60, s_maxage=9)),
        (b"no-store", Control(no_store=True)),
        (b"no-store=?0", Control()),
        (b"private", Control(private=True)),
        (b'private="a"', Control(private=True)),
        (b"no-cache", Control(no_cache=True)),
        (b'no-cache="a"', Control(no_cache=True)),
        (b"no-cache=?0, private=?0", Control()),
        (b"public, must-revalidate", Control(public=True, must_revalidate=True)),
        (b"stale-while-revalidate=5, stale-if-error=6", Control(while_revalidate=5, if_error=6)),
        (
            b"immutable, must-understand, proxy-revalidate",
            Control(immutable=True, must_understand=True, proxy_revalidate=True),
        ),
        (b"max-age=1, max-age=60", Control(max_age=60)),
        (b"", None),
        (b"  ", None),
        (b"max-age=10000, &&&&&", None),
        (b'max-age="10000"', None),
        (b"max-age=60.0", None),
        (b"max-age", None),
        (b"max-age=(60)", None),
        (b"max-age=?1", None),
        (b"MaX-aGe=60", None),
        (b"max-age =60", None),
        (b"max-age= 60", None),
        (b"max-age=60,", None),
        (b"no-store=1", None),
        (b"no-cache=1", None),
        (b"no-cache=token", None),
        (b"max-age=1000000000000000", None),
    ],
)
def test_a_targeted_field_counts_as_a_whole_or_not_at_all(value: bytes, expected: Control | None) -> None:
    assert targeted_control(value) == expected


@pytest.mark.parametrize(
    ("text", "control_text", "targeted"),
    [
        ("", "", False),
        ("Cache-Control: max-age=1", "max-age=1", False),
        ("Cache-Control: max-age=1\nCache-Control: public", "max-age=1, public", False),
        ("Cache-Control: no-store\nCDN-Cache-Control: max-age=9", "max-age=9", True),
        ("CDN-Cache-Control: max-age=9\nTXSC-Cache-Control: max-age=7", "max-age=7", True),
        ("CDN-Cache-Control: max-age=9\nTXSC-Cache-Control: junk=", "max-age=9", True),
        ("CDN-Cache-Control: max-age=9\nTXSC-Cache-Control:", "max-age=9", True),
        ("Cache-Control: max-age=1\nCDN-Cache-Control: &", "max-age=1", False),
        ("CDN-Cache-Control: max-age=9\nCDN-Cache-Control: public", "max-age=9, public", True),
        ("Pragma: no-cache", "no-cache", False),
        ("Pragma: foo, No-Cache", "no-cache", False),
        ("Pragma: foo", "", False),
        ("Pragma: no-cache\nCache-Control: max-age=1", "max-age=1", False),
        ('Pragma: x="no-cache"', "", False),
    ],
)
def test_the_first_valid_field_governs(text: str, control_text: str, targeted: bool) -> None:
    expected = control(control_text.encode()) if control_text else NOTHING_SAID
    assert governing(fields(text)) == Governing(expected, targeted)


@given(st.binary(max_size=300))
def test_no_value_raises(value: bytes) -> None:
    targeted_control(value)
