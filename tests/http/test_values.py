"""Enumerations whose members are found without a call."""

from __future__ import annotations

import copy
import pickle
from enum import Enum, StrEnum

import pytest

from txstalecache.http.values import enumeration
from txstalecache.origin.interfaces import Fault, Framing


class Plain(Enum):
    ONE = "one"
    TWO = "two"


Quick = enumeration(Plain)


@enumeration
class Words(StrEnum):
    """Of one sort."""

    ONE = "one"


def test_the_members_are_the_enumerations_own() -> None:
    assert Quick.ONE is Plain.ONE
    assert repr(Quick.TWO) == "<Plain.TWO: 'two'>"
    assert str(Words.ONE) == "one"


def test_members_are_found_by_value_and_by_name_in_their_order() -> None:
    assert Quick("two") is Plain.TWO
    assert Quick["TWO"] is Plain.TWO
    assert list(Quick) == [Plain.ONE, Plain.TWO]
    assert len(Quick) == 2
    with pytest.raises(ValueError):
        Quick("three")


def test_what_is_a_member_is_known() -> None:
    assert isinstance(Plain.ONE, Quick)
    assert not isinstance("one", Quick)


def test_it_goes_by_the_enumerations_name() -> None:
    assert Words.__name__ == "Words"
    assert Words.__module__ == __name__
    assert Words.__doc__ == "Of one sort."


def test_members_can_be_pickled_and_copied() -> None:
    for member in (Words.ONE, Fault.RESET, Framing.CLOSE):
        assert pickle.loads(pickle.dumps(member)) is member
        assert copy.deepcopy(member) is member


def test_its_members_are_known_by_name() -> None:
    assert dict(Quick.__members__) == dict(Plain.__members__)
