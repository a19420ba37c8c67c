from __future__ import annotations

import pytest

from txstalecache.http.pseudonym import OURS, Pseudonym


@pytest.mark.parametrize("name", ["", "a b", "a,b", "a(b)", "a/b", "caf\xe9", "a\r\nX: 1", "x" * 65])
def test_a_pseudonym_is_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="token"):
        Pseudonym(name)


def test_a_pseudonym_goes_on_in_via() -> None:
    assert Pseudonym("edge-1").passed == (b"Via", b"1.1 edge-1")
    assert OURS.name == b"txstalecache"
