"""The best table there is: the compiled one where it was built."""

from collections.abc import Callable
from typing import Protocol

from dnsserver.fast.datagrams import Datagram
from dnsserver.fast.table import Answers, Table, Way


class Loop(Protocol):
    """Answers datagrams in a thread of its own; see ready.py."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable where a datagram waits."""
        ...

    def run(self) -> None:
        """Answer until `stop`; for a thread of its own."""
        ...

    def stop(self) -> None:
        """Have `run` read what has come by now, and return."""
        ...

    def error(self) -> int:
        """Return the errno that has ended the loop, 0 for none."""
        ...

    def counters(self) -> tuple[int, int, int, int, int]:
        """Return messages, responses, send errors, send drops, and what was shed, all so far."""
        ...

    def take(self) -> Datagram | None:
        """Return the datagram that has waited longest, its peer and its control messages; None where none waits."""
        ...


NewLoop = Callable[[Answers, int, int, Way], Loop]  # of a table, a descriptor, its port

new_table: Callable[[], Answers] = Table
new_loop: NewLoop | None = None  # None: nothing was compiled
try:
    from dnsserver.fast import ready
except ImportError:
    pass
else:
    new_table, new_loop = ready.ReadyTable, ready.new_loop

COMPILED = new_loop is not None
