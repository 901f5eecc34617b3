"""A Kubernetes API server in memory, over real HTTP on 127.0.0.1: lists, watches, discovers, and fails to order.

    async with FakeApiServer() as api:
        api.put({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns1", "name": "db"}})
        api.fault("services", "list", refuse(503, "ServiceUnavailable"), times=2)
        ...  # point the code under test at api.url
        await api.seen("services", "watch")

Resources are named by their plural (`virtualmachineinstances`); verbs are `list`, `watch`, and `stream` for a watch
that is to begin with a list (`sendInitialEvents`), which is refused unless `streams` is set. Discovery documents are
asked for with the verb `get`, by their path. Events alone can be written (`create`, `patch`). Everything is one event
loop's: no locks, and what a method changes is seen by the next request.
"""

import asyncio
import copy
import json
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes.api_events import Events, write_event
from tests.fakes.api_faults import After, Fault, Lines, Reply, Serve, event_line, gone, refuse, status_body, too_large
from tests.fakes.api_http import Answer, CutError, hang, read_request
from tests.fakes.api_proxy import proxied

JSON = dict[str, Any]

VMIS = "virtualmachineinstances"
KUBEVIRT = "kubevirt.io"


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the request log."""

    time: float  # of `FakeApiServer.clock`
    resource: str  # the plural, "" for a discovery document
    verb: str  # list, watch, stream, get, create or patch
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class _Stored:
    """An object and its JSON; items of the built-in lists leave out what the list has said."""

    version: int
    value: JSON
    body: bytes
    item: bytes


@dataclass(slots=True)
class _Resource:
    """A resource's objects, and every change since `compacted`."""

    kind: str
    group: str
    versions: tuple[str, ...]  # served, the preferred first
    objects: dict[tuple[str, str], _Stored] = field(default_factory=dict)
    history: list[tuple[str, _Stored, _Stored | None]] = field(default_factory=list)  # type, object, its state before
    compacted: int = 0


class _Watcher:
    """An open watch: what it is still to send."""

    def __init__(self, selector: str) -> None:
        self.selector = selector
        self.queue: asyncio.Queue[bytes | After] = asyncio.Queue()


class FakeApiServer:
    """The server; see the module. `token` and `ssl_context` make it ask for a bearer token, or speak TLS."""

    def __init__(
        self,
        *,
        kubevirt: tuple[str, ...] = ("v1", "v1alpha3"),
        tokens: set[str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.requests: list[Request] = []
        self.tokens = tokens  # accepted; None: anybody's
        self.forbidden: set[str] = set()  # resources that answer 403
        self.pages_any_age = True  # False: a list at resourceVersion=0 is not paged, as from the real watch cache
        self.streams = False  # True: a list may come as the beginning of a watch, as from Kubernetes 1.34 on
        self.version = 1000  # the newest resourceVersion
        self.events: Events = {}  # those that were created, by (namespace, name); versions of their own
        self.services: dict[str, str] = {}  # that the proxy leads to: "NS/NAME:PORT" -> URL
        self.asked_as = ""  # the name that clients have for it, where it is not the one they connect to
        self.clock = clock
        self.port = 0
        self._ssl = ssl_context
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._watchers: dict[str, set[_Watcher]] = defaultdict(set)
        self._faults: dict[tuple[str, str], deque[tuple[Fault, int | None]]] = defaultdict(deque)
        self._continued: dict[str, tuple[int, list[_Stored]]] = {}
        self._uids = 0
        self._changed = asyncio.Event()
        self._resources = {
            "namespaces": _Resource("Namespace", "", ("v1",)),
            "services": _Resource("Service", "", ("v1",)),
            "endpointslices": _Resource("EndpointSlice", "discovery.k8s.io", ("v1",)),
            "pods": _Resource("Pod", "", ("v1",)),
            "serviceimports": _Resource("ServiceImport", "multicluster.x-k8s.io", ("v1alpha1",)),
        }
        if kubevirt:
            self.install_kubevirt(*kubevirt)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._ssl else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; on the same port as before, if it has been stopped."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._ssl)
        self.port = self._server.sockets[0].getsockname()[1]

    def present(self, ssl_context: ssl.SSLContext) -> None:
        """Speak TLS with another certificate from the next start on."""
        self._ssl = ssl_context

    async def stop(self) -> None:
        """Stop listening and cut every connection; the objects stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    # The objects

    def put(self, value: JSON, *, told: bool = True) -> JSON:
        """Create or replace an object; a uid is given where it has none. Returns it as stored.

        One that is not `told` no watch will ever tell of.
        """
        resource = self._resource_of(value["kind"])
        value = copy.deepcopy(value)
        meta = value["metadata"]
        key = meta.get("namespace", ""), meta["name"]
        before = resource.objects.get(key)
        if "uid" not in meta:
            self._uids += 1
            meta["uid"] = before.value["metadata"]["uid"] if before else f"uid-{self._uids}"
        stored = self._store(value)
        resource.objects[key] = stored
        if told:
            self._record(resource, "MODIFIED" if before else "ADDED", stored, before)
        return value

    def delete(self, kind: str, namespace: str, name: str, *, told: bool = True) -> None:
        """Delete an object; it must be there."""
        resource = self._resource_of(kind)
        before = resource.objects.pop((namespace, name))
        stored = self._store(copy.deepcopy(before.value))
        if told:
            self._record(resource, "DELETED", stored, before)

    def objects(self, kind: str) -> dict[tuple[str, str], JSON]:
        """Return the objects of a kind by (namespace, name)."""
        return {key: stored.value for key, stored in self._resource_of(kind).objects.items()}

    def install_kubevirt(self, *versions: str) -> None:
        """Serve VMIs, by default as v1 and v1alpha3."""
        self._resources[VMIS] = _Resource("VirtualMachineInstance", KUBEVIRT, versions or ("v1", "v1alpha3"))

    def remove_kubevirt(self) -> None:
        """Serve VMIs no longer; their watches end."""
        del self._resources[VMIS]
        self.end_watches(VMIS)

    # Faults

    def fault(self, resource: str, verb: str, *faults: Fault, times: int | None = 1) -> None:
        """Order faults for the next requests, in turn, each for so many of them (None: for ever).

        A discovery document is the resource "" and the verb "get".
        """
        self._faults[resource, verb].extend((fault, times) for fault in faults)

    def heal(self, resource: str, verb: str) -> None:
        """Take back every fault ordered."""
        self._faults[resource, verb].clear()

    def expire(self, *, tell: bool = False) -> None:
        """Forget all changes and continue tokens: an older resourceVersion is 410 now; `tell` open watches as well."""
        self._continued.clear()
        for resource in self._resources.values():
            resource.compacted = self.version
            resource.history.clear()
        if tell:
            for name in list(self._watchers):
                self.send(name, event_line("ERROR", status_body(410, "Expired", "too old resource version")))
                self.end_watches(name)

    def bookmark(self, resource: str) -> None:
        """Send a bookmark of the newest version to the open watches."""
        kind = self._resources[resource].kind
        value = {"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": str(self.version)}}
        self.send(resource, event_line("BOOKMARK", json.dumps(value).encode()))

    def send(self, resource: str, line: bytes) -> None:
        """Send octets to the open watches, whatever they are."""
        for watcher in self._watchers[resource]:
            watcher.queue.put_nowait(line)

    def end_watches(self, resource: str, how: After = "end") -> None:
        """End the open watches: as a server does, or by dropping the connection, or by never saying a word again."""
        for watcher in self._watchers.pop(resource, set()):
            watcher.queue.put_nowait(how)

    # What was asked

    def asked(self, resource: str, verb: str) -> list[Request]:
        """Return the requests so far."""
        return [one for one in self.requests if (one.resource, one.verb) == (resource, verb)]

    async def seen(self, resource: str, verb: str, count: int = 1) -> Request:
        """Wait for so many requests in all; return the last of these. Watches are open by then."""
        while len(found := self.asked(resource, verb)) < count:
            self._changed.clear()
            await self._changed.wait()
        return found[count - 1]

    # Inside

    def _resource_of(self, kind: str) -> _Resource:
        return next(one for one in self._resources.values() if one.kind == kind)

    def _store(self, value: JSON) -> _Stored:
        self.version += 1
        value["metadata"]["resourceVersion"] = str(self.version)
        body = json.dumps(value).encode()
        bare = {name: part for name, part in value.items() if name not in ("kind", "apiVersion")}
        item = body if value["kind"] == "VirtualMachineInstance" else json.dumps(bare).encode()
        return _Stored(self.version, value, body, item)

    def _record(self, resource: _Resource, change: str, stored: _Stored, before: _Stored | None) -> None:
        resource.history.append((change, stored, before))
        name = next(name for name, one in self._resources.items() if one is resource)
        for watcher in self._watchers[name]:
            if line := _event(change, stored, before, watcher.selector):
                watcher.queue.put_nowait(line)

    def _log(self, request: Request) -> None:
        self.requests.append(request)
        self._changed.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while request := await read_request(reader):
                await self._answer(*request, writer)
        except (CutError, ConnectionError, asyncio.CancelledError):
            pass  # ordered, or the client's or the test's end
        finally:
            self._connections.discard(task)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        path = unquote(parts.path)
        resource = "events" if method != "GET" and "/events" in path else self._find(path)
        verb = ("watch" if query.get("watch") in ("true", "1") else "list") if resource else "get"
        if verb == "watch" and query.get("sendInitialEvents") == "true":
            verb = "stream"
        if method != "GET":
            verb = "create" if method == "POST" else "patch"
        request = Request(self.clock(), resource, verb, path, query, headers, body)
        fault = self._next_fault(resource, verb)
        answer = Answer(writer, fault)
        reply = fault if isinstance(fault, Reply) else self._refusal(request)
        if reply is None and verb in ("watch", "stream"):
            await self._watch(request, answer, fault)
            return
        self._log(request)
        if reply is None:
            reply = await proxied(self.services, path, query, self.asked_as or headers.get("host", ""))
        if reply is None:
            reply = self._written(request) or (self._list(request) if verb == "list" else self._discovery(path))
        await answer.start(reply.status, {"Content-Type": reply.content_type, **reply.headers})
        await answer.write(reply.body)
        await answer.finish()

    def _find(self, path: str) -> str:
        """Return the resource that a path lists, "" for none."""
        for name, one in self._resources.items():
            if path in [f"{_prefix(one.group, version)}/{name}" for version in one.versions]:
                return name
        return ""

    def _next_fault(self, resource: str, verb: str) -> Fault:
        faults = self._faults[resource, verb]
        if not faults:
            return Serve()
        fault, times = faults.popleft()
        if times is None or times > 1:
            faults.appendleft((fault, None if times is None else times - 1))
        return fault

    def _refusal(self, request: Request) -> Reply | None:
        """Return the answer to somebody who may not ask."""
        if self.tokens is not None:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme != "Bearer" or token not in self.tokens:
                return refuse(401, "Unauthorized")
        if request.resource in self.forbidden:
            message = f'{request.resource} is forbidden: User "test" cannot {request.verb} resource'
            return refuse(403, "Forbidden", message)
        if request.verb == "stream" and not self.streams:
            return refuse(422, "Invalid", "sendInitialEvents is forbidden for watch unless the gate is enabled")
        return None

    def _written(self, request: Request) -> Reply | None:
        """Obey a request that writes an Event; None for one that reads."""
        if request.verb not in ("create", "patch"):
            return None
        return write_event(self.events, request.verb, request.path, request.headers, request.body)

    def _discovery(self, path: str) -> Reply:
        """Return a discovery document; the real server's 404 is plain text, too."""
        for one in self._resources.values():
            if one.group and path == f"/apis/{one.group}":
                versions = [{"groupVersion": f"{one.group}/{version}", "version": version} for version in one.versions]
                return _json({"kind": "APIGroup", "apiVersion": "v1", "name": one.group, "versions": versions})
        named = [
            {"name": name, "kind": one.kind, "verbs": ["list", "watch"]}
            for name, one in self._resources.items()
            if path in [_prefix(one.group, version) for version in one.versions]
        ]
        if not named:
            return Reply(404, b"404 page not found\n", content_type="text/plain")
        return _json({"kind": "APIResourceList", "groupVersion": path.split("/", 2)[2], "resources": named})

    def _list(self, request: Request) -> Reply:
        """Return one page of a list."""
        resource, query = self._resources[request.resource], request.query
        limit = int(query.get("limit", "0"))
        version = query.get("resourceVersion", "")
        if token := query.get("continue"):
            if token not in self._continued:
                return refuse(410, "Expired", "The provided continue parameter is too old")
            at, left = self._continued[token]
        else:
            if version and int(version) > self.version:
                return too_large(version)
            selector = query.get("labelSelector", "")
            at = self.version
            left = [one for _, one in sorted(resource.objects.items()) if _matches(one, selector)]
            if version == "0" and not self.pages_any_age:
                limit = 0
        page, left = (left[:limit], left[limit:]) if limit else (left, [])
        following = ""
        if left:
            following = f"page-{at}-{len(self._continued)}"
            self._continued[following] = (at, left)
        metadata = json.dumps({"resourceVersion": str(at), "continue": following}).encode()
        items = b",".join(one.item for one in page)
        head = json.dumps({"kind": f"{resource.kind}List", "apiVersion": request.path.split("/", 2)[2]})[:-1].encode()
        return Reply(body=head + b', "metadata": ' + metadata + b', "items": [' + items + b"]}\n")

    async def _watch(self, request: Request, answer: Answer, fault: Fault) -> None:
        """Serve a watch until it ends."""
        resource, query = self._resources[request.resource], request.query
        selector, version = query.get("labelSelector", ""), query.get("resourceVersion", "")
        watcher = _Watcher(selector)
        for line in fault.lines if isinstance(fault, Lines) else ():
            watcher.queue.put_nowait(line)
        if isinstance(fault, Lines) and fault.then != "serve":
            watcher.queue.put_nowait(fault.then)
        initial = request.verb == "stream"
        for line in _backlog(resource, "" if initial else version, selector):
            watcher.queue.put_nowait(line)
        if initial:
            watcher.queue.put_nowait(initial_end(resource.kind, self.version))
        elif version not in ("", "0") and int(version) < resource.compacted:
            watcher.queue.put_nowait(event_line("ERROR", gone().body))
            watcher.queue.put_nowait("end")
        watchers = self._watchers[request.resource]
        watchers.add(watcher)
        self._log(request)
        try:
            await answer.start(200, {"Content-Type": "application/json"})
            with suppress(TimeoutError):
                async with asyncio.timeout(float(query.get("timeoutSeconds", "3600"))):
                    await _send_queue(watcher, answer)
            await answer.finish()
        finally:
            watchers.discard(watcher)


async def _send_queue(watcher: _Watcher, answer: Answer) -> None:
    """Send what a watch has to tell, until it is told to end."""
    while True:
        match await watcher.queue.get():
            case bytes() as line:
                await answer.write(line)
            case "drop":
                raise CutError
            case "hang":
                await hang()
            case _:
                return


def _backlog(resource: _Resource, version: str, selector: str) -> list[bytes]:
    """Return the events that a watch begins with."""
    if version in ("", "0"):
        return [event_line("ADDED", one.body) for one in resource.objects.values() if _matches(one, selector)]
    lines = (_event(*change, selector) for change in resource.history if change[1].version > int(version))
    return [line for line in lines if line]


def initial_end(kind: str, version: int) -> bytes:
    """Return the bookmark that ends a streamed list."""
    metadata = {"resourceVersion": str(version), "annotations": {"k8s.io/initial-events-end": "true"}}
    return event_line("BOOKMARK", json.dumps({"kind": kind, "metadata": metadata}).encode())


def _event(change: str, stored: _Stored, before: _Stored | None, selector: str) -> bytes:
    """Return a change as a watch with a selector sees it, b"" where it sees nothing."""
    was = before is not None and _matches(before, selector)
    is_now = change != "DELETED" and _matches(stored, selector)
    if is_now:
        return event_line("MODIFIED" if was else "ADDED", stored.body)
    return event_line("DELETED", stored.body) if was else b""


def _matches(stored: _Stored, selector: str) -> bool:
    """Apply a label selector: `a=b`, `a!=b`, `a` and `!a`, joined by commas."""
    labels = stored.value["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        name, different, value = term.partition("!=")
        if different:
            good = labels.get(name) != value
        elif "=" in term:
            name, _, value = term.partition("=")
            good = labels.get(name) == value.lstrip("=")
        else:
            good = (term.lstrip("!") in labels) is not term.startswith("!")
        if not good:
            return False
    return True


def _prefix(group: str, version: str) -> str:
    """Return the path of a group's version."""
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def _json(value: JSON) -> Reply:
    """Return a document."""
    return Reply(body=json.dumps(value).encode())
