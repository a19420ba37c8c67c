"""One timer for all that a connection waits for, one after the other."""

from __future__ import annotations

from weakref import ref

from twisted.internet.task import Clock

from txstalecache.edge.deadline import Deadline


class Waiting:
    def __init__(self) -> None:
        self.clock = Clock()
        self.passed: list[float] = []
        self.deadline = Deadline(self.clock, lambda: self.passed.append(self.clock.seconds()))

    def until(self, when: float) -> None:
        """In steps, as a reactor would."""
        while self.clock.seconds() < when:
            self.clock.advance(0.5)


def test_a_deadline_passes_once() -> None:
    waiting = Waiting()
    waiting.deadline.set(10.0)
    waiting.until(30.0)
    assert waiting.passed == [10.0]


def test_a_later_one_takes_the_place_of_an_earlier_one_with_the_same_timer() -> None:
    waiting = Waiting()
    for second in range(8):
        waiting.until(second)
        waiting.deadline.set(10.0)
        assert [call.getTime() for call in waiting.clock.getDelayedCalls()] == [10.0]
    waiting.until(30.0)
    assert waiting.passed == [17.0]


def test_an_earlier_one_takes_the_place_of_a_later_one() -> None:
    waiting = Waiting()
    waiting.deadline.set(10.0)
    waiting.deadline.set(2.0)
    waiting.until(30.0)
    assert waiting.passed == [2.0]


def test_one_that_is_lifted_does_not_pass_and_the_next_one_does() -> None:
    waiting = Waiting()
    waiting.deadline.set(5.0)
    waiting.deadline.lift()
    waiting.until(20.0)
    assert waiting.passed == [] and not waiting.clock.getDelayedCalls()
    waiting.deadline.set(5.0)
    waiting.until(30.0)
    assert waiting.passed == [25.0]


def test_nothing_is_left_of_one_that_has_ended() -> None:
    waiting = Waiting()
    waiting.deadline.set(5.0)
    waiting.deadline.end()
    assert not waiting.clock.getDelayedCalls()
    waiting.until(10.0)
    assert waiting.passed == []
    waiting.deadline.end()


def test_who_has_ended_it_is_let_go_of_without_a_collection() -> None:
    class Owner:
        def __init__(self) -> None:
            self.deadline = Deadline(Clock(), self.overdue)

        def overdue(self) -> None: ...

    owner = Owner()
    owner.deadline.set(5.0)
    owner.deadline.end()
    gone = ref(owner)
    del owner
    assert gone() is None
