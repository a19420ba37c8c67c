"""What dies again and again is started less and less often, until it lives."""

from __future__ import annotations

from twisted.internet.task import Clock

from txstalecache.pause import Pause


def lived(pause: Pause, clock: Clock, seconds: float) -> float:
    """The pause after a life of so many seconds."""
    pause.begin()
    clock.advance(seconds)
    return pause.end()


def test_pauses_double_up_to_ten_seconds() -> None:
    clock = Clock()
    pause = Pause(clock, sound=10.0)
    pauses = [lived(pause, clock, 1.0) for _ in range(9)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_a_sound_life_makes_the_next_pause_the_first_again() -> None:
    clock = Clock()
    pause = Pause(clock, sound=10.0)
    assert [lived(pause, clock, seconds) for seconds in (0.0, 10.0, 10.1, 0.0)] == [0.1, 0.2, 0.1, 0.2]
