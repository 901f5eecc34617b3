"""`/api/explain`: why a name resolves, or does not, as JSON (docs/explain.md)."""

import asyncio
import time
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from aiohttp import web
from asyncio_extras import call_in_executor

from dnsserver.admin.guard import failure
from dnsserver.admin.inspected import Inspected, Route
from dnsserver.explain import (
    InvalidQuestionError,
    Looking,
    Served,
    VMIExplanation,
    ask,
    explaining,
    explaining_vmi,
    parse_question,
)
from dnsserver.explain.values import Explanation

T = TypeVar("T")

_PATH = "/api/explain"
_PARAMETERS = frozenset({"name", "type", "vmi", "namespace"})
_DEFAULT_NAMESPACE = "default"


def routes(inspected: Inspected) -> Sequence[Route]:
    """Return the routes."""

    async def explain(request: web.Request) -> web.Response:
        try:
            explanation = await _explain(inspected, _parameters(request))
        except InvalidQuestionError as error:
            return failure(400, str(error))
        return web.Response(body=msgspec.json.encode(explanation), content_type="application/json")

    return ((_PATH, explain),)


def _parameters(request: web.Request) -> dict[str, str]:
    """Return the query's parameters, each once. Raises `InvalidQuestionError`."""
    if unknown := sorted(set(request.query) - _PARAMETERS):
        raise InvalidQuestionError(f"unknown parameter {unknown[0]!r}, expecting name and type, or vmi and namespace")
    if len(request.query) != len(set(request.query)):
        raise InvalidQuestionError("a parameter can be given only once")
    given = dict(request.query)
    if ("name" in given) == ("vmi" in given):
        raise InvalidQuestionError("either name or vmi has to be given")
    wrong = "namespace" if "name" in given else "type"
    if wrong in given:
        raise InvalidQuestionError(f"{wrong} does not go with {'name' if 'name' in given else 'vmi'}")
    return given


async def _explain(inspected: Inspected, given: dict[str, str]) -> Explanation | VMIExplanation:
    """Explain what was asked, and let queries have their turn in between. Raises `InvalidQuestionError`."""
    served = all_served(inspected)
    now = time.monotonic()  # as `dnsserver.cluster` counts
    if "vmi" in given:
        namespace = given.get("namespace") or _DEFAULT_NAMESPACE
        return await _run(explaining_vmi(served, namespace, given["vmi"], now))
    origins = [origin for one in served for origin in one.origins]
    question = parse_question(given["name"], given.get("type", ""), origins)
    answered = await call_in_executor(ask, served, question)
    return await _run(explaining(served, question, now, inspected.others(), answered=answered))


def all_served(inspected: Inspected) -> tuple[Served, ...]:
    """Return what every `kubernetes` plugin serves now."""
    return tuple(
        Served(one.cluster.stores, one.cluster.synced, one.fall_through, one.before, one.after)
        for one in inspected.clusters()
    )


async def _run(looking: Looking[T]) -> T:
    """Do the steps of an explanation, one a turn of the event loop."""
    while True:
        try:
            next(looking)
        except StopIteration as done:
            found: T = done.value
            return found
        await asyncio.sleep(0)
