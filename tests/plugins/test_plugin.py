"""Chains: the order of links, and what the base class does where a plugin says nothing."""

import asyncio

from dnsserver.message import Reply
from dnsserver.plugins.plugin import Handler, Plugin, PluginError, Request, leave_fast_lane, link
from dnsserver.records import Rcode
from tests.plugins.conftest import World, answering, request


class Noting(Plugin):
    """Notes its turn, on the way down and on the way back."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self._notes = notes

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        """Pass the request on between two notes."""
        self._notes.append(self.name)
        reply = await call_next(request)
        self._notes.append(f"/{self.name}")
        return reply


async def test_link_runs_plugins_in_their_order() -> None:
    """The first plugin sees the request first and the reply last."""
    notes: list[str] = []
    end = Reply(rcode=Rcode.NXDOMAIN)
    handler = link([Noting("a", notes), Plugin(), Noting("b", notes)], answering(end))
    assert await handler(request()) is end
    assert notes == ["a", "b", "/b", "/a"]


async def test_link_of_nothing_is_the_end() -> None:
    """A chain without plugins is what stands at its end."""
    end = answering(Reply())
    assert link([], end) is end


async def test_base_passes_on_is_ready_and_holds_nothing(world: World) -> None:
    """A plugin that only configures needs to implement nothing."""
    plugin = Plugin()
    reply = Reply()
    assert await plugin.handle(request(), answering(reply)) is reply
    assert plugin.ready()
    async with plugin.running(world.runtime):
        assert plugin.ready()


def test_plugin_error_names_the_plugin() -> None:
    """The text is CoreDNS's form."""
    assert str(PluginError("forward", "no upstream")) == "plugin/forward: no upstream"


async def test_leave_fast_lane_waits_for_one_turn_of_the_loop() -> None:
    """Whatever was scheduled before runs before it returns."""
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "other")
    await leave_fast_lane()
    assert turns == ["other"]
