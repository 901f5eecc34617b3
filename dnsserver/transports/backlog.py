"""Telling an overload from a burst, and from a stall of the event loop. No I/O; times are arguments, in seconds."""

MAX_AGE = 0.15  # that a query may wait unread while the listener cannot keep up
STALL = 0.05  # of the time between two turns at the socket, what counts at most
CLOCK_STEP = 0.05  # by which the two clocks part where the wall clock has been set


class Backlog:
    """Says when a socket has not been read empty for so long that its oldest datagrams are to be dropped unread.

    A queue that is read from its front, and only ever grows, soon holds nothing but queries whose clients have given
    up: everybody waits, nobody is served. Without its oldest part it answers as many, each of them in time.

    What counts is the time in which the socket was read, turn after turn, and never emptied. A stall of the event loop
    is one long pause between two turns: it fills the queue as well, but what it filled can be answered.
    """

    def __init__(self) -> None:
        self._behind: float | None = None  # how long the socket has not been read empty; None: it has been
        self._turn = 0.0  # when it was last read, by the monotonic clock
        self._between = 0.0  # the wall clock's lead over the monotonic one

    def turn(self, monotonic: float, wall: float) -> bool:
        """Begin to read; say whether datagrams that came more than `MAX_AGE` ago are to be dropped.

        The kernel notes arrivals by the wall clock. Where that has been set, the reckoning begins anew: until it
        is up, whatever is from before has waited too long by any clock.
        """
        between = wall - monotonic
        if self._behind is None or abs(between - self._between) > CLOCK_STEP:
            self._behind = 0.0
            self._between = between
        else:
            self._behind += min(monotonic - self._turn, STALL)
        self._turn = monotonic
        return self._behind >= MAX_AGE

    def emptied(self) -> None:
        """Note that there was nothing left to read."""
        self._behind = None
