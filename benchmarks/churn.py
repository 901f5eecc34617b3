"""What changes in a cluster all the time and by itself, for the API server of `benchmarks.api`; half of it never does.

VMIs get other addresses, migrate, are deleted and created again. Guests come whose names were never seen before, and
go; Services come and go. Watches end, are dropped, and are told that they are too old: then all is listed again.
"""

import asyncio
import heapq
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count, cycle
from typing import Any

from benchmarks import objects
from tests.fakes.api_server import FakeApiServer

STATES = 4  # addresses that one changing VMI takes in turn
_TURN = 0.05  # seconds between two looks at what is due
_GUESTS = 50  # VMIs of ever new names at a time
_SERVICE_EVERY = 5.0  # seconds from one Service's end to the next one's
_BOOKMARK_EVERY = 30.0  # seconds; the real server's take a minute


def changes(index: int) -> bool:
    """Say whether a VMI is one that changes: those of every second Service."""
    return index // objects.PER_SERVICE % 2 == 1


class Churn:
    """Changes the objects of one API server."""

    def __init__(self, server: FakeApiServer, vmis: int) -> None:
        self.changes = 0
        self._server = server
        self._vmis = vmis
        self._random = random.Random(1)
        self._changing = [index for index in range(vmis) if changes(index)]
        self._groups = sorted({objects.names(index)[1] for index in self._changing})
        self._busy: set[int] = set()  # VMIs with a step still to come
        self._state = dict.fromkeys(self._changing, 0)
        self._numbers = count(vmis)  # of uids and guests: no number comes twice
        self._guests: deque[str] = deque()
        self._later: list[tuple[float, int, Callable[[], None]]] = []

    async def run(self, rate: float, period: float) -> None:
        """Change so many objects a second until cancelled; watches end every `period` seconds, in one of three ways."""
        started, before = time.monotonic(), self.changes
        self._again(_SERVICE_EVERY, self._end_service)
        self._again(_BOOKMARK_EVERY, self._bookmark)
        ends = cycle((self._drop, self._end, self._expire, self._end))
        self._again(period, lambda: next(ends)())  # noqa: PLW0108 -- another one each time
        while True:
            await asyncio.sleep(_TURN)
            now = time.monotonic()
            while self._later and self._later[0][0] <= now:
                heapq.heappop(self._later)[2]()
            while self.changes - before < (now - started) * rate:
                self._change_one()
                self.changes += 1

    def _after(self, seconds: float, step: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), step))

    def _again(self, seconds: float, step: Callable[[], None]) -> None:
        """Do something once in so many seconds."""

        def turn() -> None:
            step()
            self._after(seconds, turn)

        self._after(seconds, turn)

    # One change each

    def _change_one(self) -> None:
        """Change one VMI that nothing else is being done to; the shares are a lively cluster's."""
        index = self._random.choice(self._changing)
        luck = self._random.random()
        if index in self._busy or luck < 0.05:
            self._receive_guest()
        elif luck < 0.65:
            self._state[index] = (self._state[index] + 1) % STATES
            self._server.put(self._vmi(index))
        elif luck < 0.85:
            self._migrate(index)
        else:
            self._delete(index)

    def _vmi(self, index: int) -> dict[str, Any]:
        return objects.vmi(index, self._state[index])

    def _migrate(self, index: int) -> None:
        """Hand a VMI over to another node, and complete that a second later at the target's address."""
        self._busy.add(index)
        value = self._vmi(index)
        status, target = value["status"], f"node-{self._random.randrange(500):03d}"
        status["activePods"][f"33333333-0000-4000-8000-{next(self._numbers):012d}"] = target
        status["nodeName"] = target
        status["conditions"][0]["status"] = "False"
        status["migrationState"] = {"targetNode": target, "endTimestamp": "2026-09-01T09:00:00Z"}
        self._server.put(value)
        self._after(1.0, lambda: self._complete(index, target))

    def _complete(self, index: int, target: str) -> None:
        self._busy.discard(index)
        self._state[index] = (self._state[index] + 1) % STATES
        value = self._vmi(index)
        status = value["status"]
        status["activePods"] = {f"33333333-0000-4000-8000-{next(self._numbers):012d}": target}
        status["nodeName"] = target
        status["migrationState"] = {"targetNode": target, "endTimestamp": "2026-09-01T09:00:00Z", "completed": True}
        self._server.put(value)

    def _delete(self, index: int) -> None:
        """Delete a VMI; another one of that name starts some seconds later."""
        self._busy.add(index)
        self._server.delete("VirtualMachineInstance", "bench", objects.names(index)[0])
        self._after(self._random.uniform(1.0, 5.0), lambda: self._create(index))

    def _create(self, index: int) -> None:
        self._busy.discard(index)
        value = self._vmi(index)
        value["metadata"]["uid"] = f"44444444-0000-4000-8000-{next(self._numbers):012d}"
        self._server.put(value)

    def _receive_guest(self) -> None:
        """Start a VMI of a new name; the one that has been here for longest goes."""
        value = objects.vmi(next(self._numbers))
        group = self._random.choice(self._groups)
        value["metadata"]["labels"]["group"] = value["spec"]["subdomain"] = group
        self._server.put(value)
        self._guests.append(value["metadata"]["name"])
        if len(self._guests) > _GUESTS:
            self._server.delete("VirtualMachineInstance", "bench", self._guests.popleft())

    def _end_service(self) -> None:
        """Delete a Service with all names below it, for a second."""
        group = self._random.choice(self._groups)
        self._server.delete("Service", "bench", group)
        self._after(1.0, lambda: self._restore(group))

    def _restore(self, group: str) -> None:
        self._server.put(objects.service(group))

    # What happens to watches

    def _resources(self) -> Iterator[str]:
        yield from ("namespaces", "services", "endpointslices", "virtualmachineinstances")

    def _bookmark(self) -> None:
        for resource in self._resources():
            self._server.bookmark(resource)

    def _drop(self) -> None:
        for resource in self._resources():
            self._server.end_watches(resource, "drop")

    def _end(self) -> None:
        for resource in self._resources():
            self._server.end_watches(resource)

    def _expire(self) -> None:
        """Forget every change; also what the log of requests and of changes would grow by."""
        self._server.requests.clear()
        self._server.expire(tell=True)
