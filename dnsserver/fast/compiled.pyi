LAYOUT: tuple[int, ...]  # numbers and sizes of loop.h, as `SIZES_IN_C` of layout.py

class Core:
    """The table of loop.h. A reader is used by one thread, everything else by the event loop's."""

    def __init__(self, settings: bytes) -> None: ...
    def __len__(self) -> int:
        """Return how many names have a node."""

    def has(self, name: bytes) -> bool:
        """Say whether a name, or another of its hash, has a node."""

    def say(self, name: bytes, exists: bool, node: bytes = ...) -> None:
        """Note whether a name exists, and what it answers; without a node that is the responder's.

        Raises `MemoryError`: the name is in doubt where it was never noted, and what was noted before stays else.
        """

    def make_room(self, names: int) -> None:
        """Have room for so many more names. Raises `MemoryError`."""

    def put_zones(self, zones: bytes) -> None:
        """Answer from these zones, or with no octets from none. Raises `MemoryError`, and the old ones stay."""

    def sweep(self, limit: int) -> bool:
        """Forget so many entries of names, while there are no zones; say whether none are left."""

    def counted(self, reader: int, size: int) -> bytes:
        """Return the beginning of a reader's memory."""

    def answer(self, wire: bytes, reader: int, udp: bool) -> bytes | None:
        """Return the response to a message, None where it is the responder's to answer."""

class Loop:
    """A loop of loop.h, which owns none of its descriptors."""

    def __init__(self, core: Core, reader: int, fd: int, queue_end: int, queue_start: int, port: int) -> None:
        """Prepare to read `fd`, bound to a port (in network order), and hand on pointers by a pipe of the caller's."""

    def run(self) -> None:
        """Answer until `stop`; for a thread of its own."""

    def stop(self) -> None:
        """Have `run` read what has come by now, and return."""

    def state(self, size: int) -> bytes:
        """Return the beginning of the loop's memory."""

    def take_octets(self) -> bytes | None:
        """Return the datagram that has waited longest, as a `struct waiting`; None where none waits."""
