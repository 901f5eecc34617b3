"""A whole server whose lists fail in the middle: streamed ones (F25), and those in pages (F27)."""

import json
from pathlib import Path

import pytest

from dnsserver.records import Rcode
from tests import build
from tests.fakes.api_faults import After, Drop, Fault, Hang, Lines, Reply, event_line, refuse, status_body
from tests.fakes.api_server import VMIS, FakeApiServer, Request
from tests.faults.bed import DB, VM1, WORLD, Bed, faulted, vmi

SOON = {"initial_silence": 0.1, "answer_silence": 0.2, "page_size": 3}  # seconds, objects


def many(count: int) -> list[tuple[str, str]]:
    """Return names and addresses of VMIs."""
    return [(f"many{number}", f"10.244.1.{number}") for number in range(count)]


def ghost(then: After) -> Lines:
    """Return a streamed list that begins with a VMI that is not there, and does not come to its end."""
    body = build.vmi_json("ghost", addresses=("10.244.9.9",))
    body["metadata"]["resourceVersion"] = "999"
    return Lines((event_line("ADDED", json.dumps(body).encode()),), then)


async def nothing_partial(bed: Bed) -> None:
    """Ask for what only half a list would answer, until the whole one is there; then for all of it."""
    while (reply := await bed.ask(VM1)).rcode == Rcode.SERVFAIL:
        assert (await bed.ask(f"ghost.{DB}")).rcode in (Rcode.SERVFAIL, Rcode.NXDOMAIN)
    assert reply.rcode == Rcode.NOERROR
    for name, address in many(7):
        assert await bed.texts(f"{name}.{DB}") == [address]
    assert (await bed.ask(f"ghost.{DB}")).rcode == Rcode.NXDOMAIN


STREAMS: list[tuple[str, Fault]] = [
    ("400", refuse(400, "BadRequest")),
    ("422", refuse(422, "Invalid", "sendInitialEvents is forbidden")),
    ("cut off before anything", Drop(0)),
    ("cut off in the middle of an event", Drop(1500)),
    ("ended before its mark", ghost("end")),
    ("dropped before its mark", ghost("drop")),
    ("stuck before its mark", ghost("hang")),
    ("stuck in the middle", Hang(1500)),
    ("410", Lines((event_line("ERROR", status_body(410, "Expired")),), "end")),
]


@pytest.mark.parametrize("fault", [row[1] for row in STREAMS], ids=[row[0] for row in STREAMS])
async def test_f25_first_list(tmp_path: Path, fault: Fault) -> None:
    """A streamed list that is refused or cut: a plain one follows at once, and nothing of the first is ever seen."""
    async with FakeApiServer() as api:
        api.streams = True
        for value in (*WORLD, *(vmi(*one) for one in many(7))):
            api.put(value)
        for resource in (VMIS, "services"):
            api.fault(resource, "stream", fault)
        async with faulted(api, tmp_path, options="startup_timeout 0s", timing=SOON) as bed:
            await nothing_partial(bed)
            assert len(api.asked(VMIS, "list")) == 3  # 8 VMIs in pages of 3
            await bed.calm()


@pytest.mark.parametrize("fault", [row[1] for row in STREAMS], ids=[row[0] for row in STREAMS])
async def test_f25_later_list(tmp_path: Path, fault: Fault) -> None:
    """The same when everything is known: no name is lost to half a list (`bed.keep`), none comes of it."""
    async with FakeApiServer() as api:
        api.streams = True
        for value in (*WORLD, *(vmi(*one) for one in many(7))):
            api.put(value)
        async with faulted(api, tmp_path, timing=SOON) as bed:
            bed.keep |= {f"{name}.{DB}": [address] for name, address in many(7)}
            await bed.calm()
            api.fault(VMIS, "stream", fault)
            api.put(vmi("late", "10.244.0.9"), told=False)
            api.send(VMIS, event_line("ERROR", status_body(410, "Expired")))
            await bed.until(f"late.{DB}", ["10.244.0.9"])
            assert (await bed.ask(f"ghost.{DB}")).rcode == Rcode.NXDOMAIN
            await bed.calm()


# Pages


class Forgetful(FakeApiServer):
    """An API server that forgets continue tokens: each from a page on, so many times."""

    page = 2  # the first page that it does not give
    times = 1

    def _list(self, request: Request) -> Reply:
        """Return one page of a list."""
        token = request.query.get("continue", "")
        if token and request.resource == VMIS and self.times > 0:
            asked = self.asked(VMIS, "list")
            if len([one for one in asked if one.query.get("continue")]) >= self.page - 1:
                self.times -= 1
                return refuse(410, "Expired", "The provided continue parameter is too old")
        return super()._list(request)


@pytest.mark.parametrize("page", [2, 3])
@pytest.mark.parametrize("times", [1, 1_000_000])
async def test_f27_continue_token_expired(tmp_path: Path, page: int, times: int) -> None:
    """The list starts again as a whole, without pages; once or always, it is no loop, and nothing partial shows."""
    async with Forgetful() as api:
        api.page, api.times = page, times
        for value in (*WORLD, *(vmi(*one) for one in many(7))):
            api.put(value)
        async with faulted(api, tmp_path, options="startup_timeout 0s", timing=SOON) as bed:
            await nothing_partial(bed)
            asked = [one.query for one in api.asked(VMIS, "list")]
            assert len(asked) == page + 1
            assert asked[-1] == {"resourceVersion": "0"}
            await bed.calm()
            # and the same in the middle of life, where all that is known stays until the whole list is there
            bed.keep |= {f"{name}.{DB}": [address] for name, address in many(7)}
            api.put(vmi("late", "10.244.0.9"), told=False)
            api.fault(VMIS, "watch", refuse(410, "Expired"))
            api.end_watches(VMIS)
            await bed.until(f"late.{DB}", ["10.244.0.9"])
            assert len(api.asked(VMIS, "list")) == page + 2


async def test_f27_list_that_never_gets_through(tmp_path: Path) -> None:
    """Not even as a whole: the pause grows (`bed` counts), and what was known stays."""
    async with FakeApiServer() as api, faulted(api, tmp_path) as bed:
        await bed.calm()
        api.put(vmi("vm2", "10.244.0.9"), told=False)
        for verb in ("list", "watch"):
            api.fault(VMIS, verb, refuse(410, "Expired"), times=None)
        api.end_watches(VMIS)
        await bed.pass_time(600)
        for verb in ("list", "watch"):
            api.heal(VMIS, verb)
        await bed.until(f"vm2.{DB}", ["10.244.0.9"])
