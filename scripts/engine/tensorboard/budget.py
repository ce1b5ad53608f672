"""A limit on how much of a training's time something may take."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Budget:
    """Lets something happen as long as all of it takes at most a share of the time so far.

    Args:
        share: of the time since this object was made.
        first_s: seconds that the first time is expected to take.
        clock: the time in seconds.
    """

    def __init__(
        self, share: float, *, first_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.share, self.clock = share, clock
        self.began = clock()
        self.spent, self.latest = 0.0, first_s

    @property
    def allows(self) -> bool:
        """Whether there is time for it now, if it takes as long as the last time."""
        return self.spent + self.latest <= self.share * (self.clock() - self.began)

    @contextmanager
    def spending(self) -> Iterator[None]:
        """A block whose time counts."""
        began = self.clock()
        try:
            yield
        finally:
            self.latest = self.clock() - began
            self.spent += self.latest
