"""Events as they are written: their fields, what replicas do with each other's, and each way in which it fails."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from dnsserver.sources.eventwriter import RULE, Telling, WriteError, Written, event_name, write_event
from dnsserver.sources.kubernetes import ApiConnection
from tests.fakes.api_faults import Drop, Reply, Serve, refuse
from tests.fakes.api_server import FakeApiServer

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z
ONE = Telling("ns1", "vm1", "0b9c1a4e-6d3f-4a55-8d0e-2f6f6c1b7a10", "SubdomainWithoutService", "No DNS name")


async def write(connection: ApiConnection, telling: Telling = ONE, now: float = NOON) -> Written:
    """Write an Event."""
    return await write_event(connection, telling, now=now, quiet=600.0)


def the_event(api: FakeApiServer) -> dict[str, Any]:
    """Return the only Event."""
    (event,) = api.events.values()
    return event


async def test_fields(api: FakeApiServer, connection: ApiConnection) -> None:
    """They are those of client-go's recorder: `kubectl describe vmi` finds Events by the object that they name."""
    assert await write(connection) is Written.CREATED
    event = the_event(api)
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name(ONE), "namespace": "ns1", "resourceVersion": "1"},
        "involvedObject": {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "namespace": "ns1",
            "name": "vm1",
            "uid": ONE.uid,
        },
        "type": "Warning",
        "reason": "SubdomainWithoutService",
        "message": "No DNS name",
        "source": {"component": "dnsserver"},
        "reportingComponent": "dnsserver",
        "reportingInstance": "",
        "firstTimestamp": "2026-01-01T12:00:00Z",
        "lastTimestamp": "2026-01-01T12:00:00Z",
        "count": 1,
    }
    assert [one.verb for one in api.requests] == ["create"]


def test_names() -> None:
    """Each VMI and reason has one; it is a DNS subdomain however long the VMI's is."""
    assert event_name(ONE).startswith("vm1.")
    others = replace(ONE, uid="another"), replace(ONE, reason="Another"), replace(ONE, name="vm2")
    assert len({event_name(ONE), *map(event_name, others)}) == 4
    assert event_name(replace(ONE, message="another")) == event_name(ONE)
    long = event_name(replace(ONE, name="a" * 199 + "-" + "b" * 50))
    assert len(long) <= 253
    assert long.startswith("a" * 199 + ".")


async def test_a_long_message(api: FakeApiServer, connection: ApiConnection) -> None:
    """The API server takes 1,024 characters."""
    await write(connection, replace(ONE, message="x" * 5000))
    assert the_event(api)["message"] == "x" * 1024


AGAIN = [  # seconds after the first time; then what becomes of it, its count, and the requests of the second time
    (5.0, Written.KNOWN, 1, ["create", "patch"]),
    (599.0, Written.KNOWN, 1, ["create", "patch"]),
    (1800.0, Written.REPEATED, 2, ["create", "patch", "patch"]),
]


@pytest.mark.parametrize(("later", "outcome", "count", "verbs"), AGAIN)
async def test_again(
    api: FakeApiServer, connection: ApiConnection, later: float, outcome: Written, count: int, verbs: list[str]
) -> None:
    """Another replica, or this one after a restart, adds nothing too soon, and counts one more later."""
    await write(connection)
    api.requests.clear()
    assert await write(connection, replace(ONE, message="Other words"), NOON + later) is outcome
    event = the_event(api)
    assert event["count"] == count
    assert event["message"] == ("Other words" if count == 2 else "No DNS name")
    assert event["firstTimestamp"] == "2026-01-01T12:00:00Z"
    assert event["lastTimestamp"] == ("2026-01-01T12:30:00Z" if count == 2 else "2026-01-01T12:00:00Z")
    assert [one.verb for one in api.requests] == verbs


@pytest.mark.parametrize("replicas", [2, 5])
async def test_replicas_at_the_same_time(api: FakeApiServer, connection: ApiConnection, replicas: int) -> None:
    """They write one Event together, and count one more together."""
    for now, count in ((NOON, 1), (NOON + 1800, 2), (NOON + 3600, 3)):
        written = await asyncio.gather(*(write(connection, now=now) for _ in range(replicas)))
        assert the_event(api)["count"] == count
        assert written.count(Written.KNOWN) == replicas - 1


async def test_an_event_of_another_make(api: FakeApiServer, connection: ApiConnection) -> None:
    """Whatever of it is missing counts as long ago, and as one."""
    await write(connection)
    for field in ("lastTimestamp", "count"):
        the_event(api)[field] = None
    assert await write(connection) is Written.REPEATED
    assert the_event(api)["count"] == 2


async def test_an_event_that_comes_and_goes(api: FakeApiServer, connection: ApiConnection) -> None:
    """One that is forgotten between two requests is created again; what never ends is tried later."""
    api.fault("events", "create", refuse(409, "AlreadyExists"))
    assert await write(connection) is Written.CREATED
    api.fault("events", "patch", refuse(404, "NotFound"), times=None)
    with pytest.raises(WriteError, match=r"^the Event comes and goes$"):
        await write(connection)


async def test_an_event_that_cannot_be_told_again(api: FakeApiServer, connection: ApiConnection) -> None:
    """Nor looked at; and one that is forgotten just before it is counted up is created again."""
    await write(connection)
    api.fault("events", "patch", refuse(422, "Invalid"))
    assert await write(connection) is Written.REFUSED
    api.fault("events", "patch", Serve(), refuse(422, "Invalid"))
    assert await write(connection, now=NOON + 1800) is Written.REFUSED
    api.fault("events", "patch", Serve(), refuse(404, "NotFound"))
    api.fault("events", "create", refuse(409, "AlreadyExists"))
    api.events.update({key: one | {"count": 7} for key, one in api.events.items()})
    assert await write(connection, now=NOON + 1800) is Written.REPEATED
    assert the_event(api)["count"] == 8


TERMINATING = refuse(403, "Forbidden", "being terminated", causes=[{"reason": "NamespaceTerminating"}])
GIVEN_UP = [
    (refuse(404, "NotFound", "namespaces not found"), Written.DROPPED),
    (TERMINATING, Written.DROPPED),
    (refuse(422, "Invalid"), Written.REFUSED),
    (refuse(400, "BadRequest"), Written.REFUSED),
    (Reply(405, b"<html>"), Written.REFUSED),
]


@pytest.mark.parametrize(("fault", "outcome"), GIVEN_UP)
async def test_given_up(api: FakeApiServer, connection: ApiConnection, fault: Reply, outcome: Written) -> None:
    """What stays the same however often it is tried is not tried again."""
    api.fault("events", "create", fault)
    assert await write(connection) is outcome
    assert len(api.requests) == 1


FAILURES: list[tuple[Reply | Drop, str, bool, float]] = [
    (refuse(403, "Forbidden", 'User "secret" cannot create'), "not allowed to create events", True, 0.0),
    (refuse(500, "InternalError"), "status 500", False, 0.0),
    (refuse(503, "ServiceUnavailable", retry_after=7), "status 503", False, 7.0),
    (refuse(429, "TooManyRequests", retry_after=30), "status 429", False, 30.0),
    (Reply(401), "status 401", False, 0.0),
    (Drop(), "the connection was lost", False, 0.0),
]


@pytest.mark.parametrize(("fault", "text", "forbidden", "retry_after"), FAILURES)
async def test_failures(
    api: FakeApiServer,
    connection: ApiConnection,
    fault: Reply | Drop,
    text: str,
    *,
    forbidden: bool,
    retry_after: float,
) -> None:
    """What may be otherwise later is an error, in words of our own."""
    api.fault("events", "create", fault)
    with pytest.raises(WriteError) as caught:
        await write(connection)
    assert (str(caught.value), caught.value.forbidden, caught.value.retry_after) == (text, forbidden, retry_after)
    assert await write(connection) in (Written.CREATED, Written.KNOWN)  # a lost answer's Event was written


async def test_not_allowed_to_patch(api: FakeApiServer, connection: ApiConnection) -> None:
    """The other verb is named."""
    await write(connection)
    api.fault("events", "patch", refuse(403, "Forbidden"))
    with pytest.raises(WriteError, match=r"^not allowed to patch events$"):
        await write(connection)
    assert "create" in RULE
    assert "patch" in RULE


async def test_nonsense(api: FakeApiServer, connection: ApiConnection) -> None:
    """An answer that is no Event is none that could be counted up."""
    await write(connection)
    for body in (b"<html>", b'{"metadata": 7}', b"\xff"):
        api.fault("events", "patch", Reply(200, body))
        with pytest.raises(WriteError, match=r"^the answer is no Event$"):
            await write(connection)
