"""Fields that many heads have in common."""

from __future__ import annotations

from weakref import ref

from txstalecache.http.messages import Fields
from txstalecache.http.section import Section

PAIRS = ((b"Host", b"a"), (b"Accept", b"*/*"))


class Watched(Section):
    """One of which can be told when it is gone."""

    __slots__ = ("__weakref__",)


class Result:
    """Something worked out."""


def without_host(fields: Fields) -> Fields:
    return fields.without(b"host")


def test_a_section_is_the_fields_it_is_made_of() -> None:
    assert Section(PAIRS) == Fields(PAIRS) and hash(Section(PAIRS)) == hash(Fields(PAIRS))
    assert Section(PAIRS).get(b"accept") == b"*/*"
    assert without_host(Section(PAIRS)) == Fields(PAIRS[1:])


def test_what_is_worked_out_from_a_section_is_worked_out_once() -> None:
    section, asked = Section(PAIRS), []

    def count(fields: Fields) -> int:
        asked.append(fields)
        return len(fields)

    assert [section.once("count", count) for _ in range(3)] == [2, 2, 2]
    assert asked == [section]
    assert Fields(PAIRS).once("count", count) == 2 and Fields(PAIRS).once("count", count) == 2
    assert len(asked) == 3


def test_fields_that_come_of_a_section_are_one_too() -> None:
    section = Section(PAIRS)
    bare = section.once(without_host, without_host)
    assert isinstance(bare, Section) and bare == Fields(PAIRS[1:])
    assert section.once(without_host, without_host) is bare


def test_a_section_that_comes_of_itself_is_not_kept_by_itself() -> None:
    section = Watched(PAIRS)
    for _ in range(2):
        assert section.once("itself", lambda said: said) is section
    known = ref(section)
    del section
    assert known() is None


def test_a_fault_is_not_remembered() -> None:
    section, tries = Section(PAIRS), []

    def fail(fields: Fields) -> int:
        tries.append(fields)
        if len(tries) == 1:
            raise ValueError("once")
        return 1

    try:
        section.once("fail", fail)
    except ValueError:
        pass
    assert section.once("fail", fail) == 1


def test_no_more_is_remembered_than_is_said() -> None:
    section = Section(PAIRS)
    made = [ref(section.once(question, lambda _: Result())) for question in range(10 * Section.MOST)]
    assert 0 < sum(result() is not None for result in made) <= Section.MOST


def test_a_section_stays_quick_for_the_others() -> None:
    section = Section(PAIRS)
    assert section.names
    index = section._index
    section.forget()
    assert section._index is index is not None
