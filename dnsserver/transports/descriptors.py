"""How many descriptors the clients' connections may take, so that everything else of the process finds one.

Everything else is the API server's watches and their next connections, files that are read again, UDP sockets,
questions to upstreams and `/health`. Half of the limit may be connections, and the last quarter of it never is theirs:
whoever else needs more than was thought takes it from the connections, not the other way round.
"""

import resource

RAISED_TO = (
    65_536  # descriptors: enough for anything here, and nothing that scans them all (a child's start) takes long
)


def raise_limit() -> int:
    """Raise the soft limit to the hard one, though not above `RAISED_TO`; return the limit that holds then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = RAISED_TO if hard == resource.RLIM_INFINITY else min(hard, RAISED_TO)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return limit()


def limit() -> int:
    """Return how many descriptors the process may have now: somebody else may change that while it runs (prlimit)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return RAISED_TO if soft == resource.RLIM_INFINITY else soft


def most_connections() -> int:
    """Return how many connections the process may have."""
    return limit() // 2


def is_reserved(descriptor: int) -> bool:
    """Say whether a descriptor is of those that connections leave alone.

    The kernel gives the lowest number that is free, so a high one says that all below it are in use, by whomever.
    """
    return descriptor >= limit() - limit() // 4
