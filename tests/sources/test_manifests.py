"""Real files in a temporary folder: what is told at first, and after each change.

Every test moves the source on look by look: nothing here sleeps or waits for a clock, but for the last tests.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnsserver.events import Changed, Deleted, Event, ListedPage, ListEnded, ListStarted
from dnsserver.objects import Key, Kind, Object, Service
from dnsserver.sources.manifests import PAGE, ManifestError, Manifests
from dnsserver.sources.source import Source

EXAMPLES = Path(__file__).parents[2] / "examples"


def service(name: str, *, port: int = 80) -> str:
    """Return a Service in YAML, on six lines."""
    return (
        f"apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: ns1\n"
        f"spec: {{clusterIP: None, ports: [{{port: {port}}}]}}\n"
    )


def services(*names: str) -> str:
    """Return several Services in YAML; each starts seven lines after the one before it."""
    return "---\n".join(service(name) for name in names)


class Looks:
    """Drives a source look by look, and keeps what a store would keep of its events."""

    def __init__(self, *paths: Path) -> None:
        self.source = Manifests(paths, wait=self._wait)
        self.objects: dict[Kind, dict[Key, Object]] = {kind: {} for kind in Kind}
        self.kept: list[Key] = []
        self.turns: list[list[Event]] = [[]]  # the events between two turns of the event loop
        self._told: dict[Kind, dict[Key, Object]] = {}
        self._go = asyncio.Semaphore(0)
        self._done = asyncio.Semaphore(0)

    async def _wait(self) -> None:
        """Stand in for the clock."""
        self._done.release()
        await self._go.acquire()

    async def run(self) -> None:
        """Take events until cancelled."""
        async for event in self.source.events():
            self.turns[-1].append(event)
            self._apply(event)

    def _apply(self, event: Event) -> None:
        """Do what the store does."""
        match event:
            case ListStarted():
                self._told[event.kind] = {}
            case ListedPage():
                self._told[event.kind] |= {value.key: value for value in event.objects}
                self.kept += event.kept
            case ListEnded():
                self.objects[event.kind] = self._told.pop(event.kind)
            case Changed():
                self.objects[event.kind][event.value.key] = event.value
            case Deleted():
                del self.objects[event.kind][event.key]  # what was never told is never taken back

    async def first(self) -> None:
        """Wait until the first look is over."""
        await self._done.acquire()

    async def look(self, times: int = 1) -> list[str]:
        """Let the source look; return what it told, in the tables' words."""
        before = sum(map(len, self.turns))
        for _ in range(times):
            self._go.release()
            await self._done.acquire()
        events = [event for turn in self.turns for event in turn]
        return [_word(event) for event in events[before:]]

    @property
    def names(self) -> list[str]:
        """The Services there are."""
        return sorted(name for _, name in self.objects[Kind.SERVICE])


def _word(event: Event) -> str:
    """Return a change in short."""
    match event:
        case Changed():
            return f"+{event.value.key[1]}"
        case Deleted():
            return f"-{event.key[1]}"
        case _:
            return type(event).__name__


@asynccontextmanager
async def looking(*paths: Path) -> AsyncIterator[Looks]:
    """Start a source whose first look is over."""
    looks = Looks(*paths)
    task = asyncio.create_task(looks.run())
    try:
        await looks.first()
        yield looks
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()  # it never raised


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """Return what was logged since the last call, from a level on."""
    found = [record.getMessage() for record in caplog.records if record.levelno >= level]
    assert all(record.name == "plugin/kubernetes" for record in caplog.records if record.levelno >= level)
    caplog.clear()
    return found


def replace(path: Path, text: str) -> None:
    """Replace a file as editors do: write another, then rename it."""
    temporary = path.with_name(f"{path.name}~")
    temporary.write_text(text)
    temporary.rename(path)


def swap(folder: Path, version: str, files: dict[str, str]) -> None:
    """Update a folder as the kubelet updates a ConfigMap volume."""
    (folder / version).mkdir(parents=True)
    for name, text in files.items():
        (folder / version / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")


async def test_every_kind_is_listed_once(tmp_path: Path) -> None:
    """Kinds without objects have a list too, or the zone would never be complete."""
    (tmp_path / "a.yaml").write_text(service("db"))
    async with looking(tmp_path) as looks:
        source: Source = looks.source
        events = looks.turns[0]
        assert [event.kind for event in events if isinstance(event, ListStarted)] == list(Kind)
        assert [event.kind for event in events if isinstance(event, ListEnded)] == list(Kind)
        assert source.kinds == frozenset(Kind)
        assert source.status.lists == dict.fromkeys(Kind, 1)
        assert source.status.last_contact.keys() == set(Kind)
        assert looks.names == ["db"]
        assert await looks.look(3) == []


async def test_pages_are_small(tmp_path: Path) -> None:
    """A big list comes in pages, from JSON as from YAML."""
    items = [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s{number}", "namespace": "ns1"}}
        for number in range(2 * PAGE + 1)
    ]
    (tmp_path / "all.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    async with looking(tmp_path) as looks:
        pages = [event for event in looks.turns[0] if isinstance(event, ListedPage)]
        assert [len(page.objects) for page in pages] == [PAGE, PAGE, 1]
        assert len(looks.objects[Kind.SERVICE]) == len(items)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.yaml", True),
        ("a.yml", True),
        ("a.json", True),
        ("a.b.yaml", True),
        (".hidden.yaml", False),
        (".a.yaml.swp", False),
        ("#a.yaml", False),
        ("#a.yaml#", False),
        ("~$a.yaml", False),
        ("a.yaml~", False),
        ("a.yaml.bak", False),
        ("a.yaml___tmp___", False),
        ("4913", False),
        ("README.md", False),
    ],
)
async def test_which_files_of_a_folder(tmp_path: Path, name: str, read: bool) -> None:
    """Neither hidden files nor what editors leave about is read."""
    value = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "ns1"}}
    (tmp_path / name).write_text(json.dumps(value))
    async with looking(tmp_path) as looks:
        assert looks.names == (["db"] if read else [])


async def test_folders_are_not_descended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As for kubectl apply -f; a folder called x.yaml, a pipe and a dangling symlink are passed over too."""
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.yaml").write_text(service("db"))
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "nowhere.yaml").symlink_to("missing")
    async with looking(tmp_path) as looks:
        assert looks.names == []
        assert messages(caplog) == [f"{tmp_path}: no manifest here yet (.yaml, .yml, .json)"]


async def test_a_named_file_may_be_called_anything(tmp_path: Path) -> None:
    """The extension matters in folders only."""
    (tmp_path / "objects").write_text(service("db"))
    async with looking(tmp_path / "objects") as looks:
        assert looks.names == ["db"]


async def test_only_the_difference_is_told(tmp_path: Path) -> None:
    """An edit tells what it changed: not what merely moved, and not what means the same."""
    path = tmp_path / "a.yaml"
    path.write_text(services("one", "two"))
    async with looking(path) as looks:
        path.write_text("# a comment\n" + services("one", "two"))
        assert await looks.look() == []
        path.write_text(services("zero", "one", "two"))
        assert await looks.look() == ["+zero"]
        path.write_text(services("zero", "one") + "---\n" + service("two", port=81))
        assert await looks.look() == ["+two"]
        assert cast(Service, looks.objects[Kind.SERVICE]["ns1", "two"]).ports[0].number == 81


async def test_what_goes_is_believed_at_the_second_look(tmp_path: Path) -> None:
    """A shrinking file may be half written: the first look takes nothing away."""
    path = tmp_path / "a.yaml"
    path.write_text(services("one", "two"))
    async with looking(path) as looks:
        path.write_text(service("two"))
        assert await looks.look() == []
        assert await looks.look() == ["-one"]
        assert await looks.look() == []


async def test_a_file_being_written_loses_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Truncated, then written piece by piece, with a look after each: no object goes, and nothing is complained of."""
    path = tmp_path / "a.json"
    value = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "ns1"}}
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [value]})
    path.write_text(text)
    async with looking(path) as looks:
        for end in range(0, len(text), 20):
            path.write_text(text[:end])
            assert await looks.look() == []
        path.write_text(text)
        assert await looks.look(3) == []
        assert messages(caplog) == []


async def test_a_file_that_keeps_changing_does_not_hold_up_others(tmp_path: Path) -> None:
    """The others wait for one look, not for ever."""
    busy, other = tmp_path / "busy.yaml", tmp_path / "other.yaml"
    busy.write_text(service("one"))
    async with looking(tmp_path) as looks:
        busy.write_text("# 1")
        other.write_text(service("two"))
        assert await looks.look() == []
        busy.write_text("# 22")
        assert await looks.look() == ["+two"]
        busy.write_text("# 333")
        assert await looks.look() == []
        assert await looks.look() == ["-one"]


async def test_same_size_in_the_same_tick(tmp_path: Path) -> None:
    """A write that leaves the very same signature is still seen: a young file is read once more."""
    path = tmp_path / "a.yaml"
    path.write_text(service("db", port=80))
    async with looking(path) as looks:
        for port in range(81, 99):
            path.write_text(service("db", port=port))
            assert await looks.look() == ["+db"]


async def test_an_atomic_replacement(tmp_path: Path) -> None:
    """Rename over the old file: the new objects come, the common ones stay."""
    path = tmp_path / "a.yaml"
    path.write_text(services("one", "two"))
    async with looking(path) as looks:
        replace(path, services("one", "two", "three"))
        assert await looks.look() == ["+three"]


@pytest.mark.parametrize("named", [True, False], ids=["named", "in a folder"])
async def test_a_replacement_with_a_gap(tmp_path: Path, named: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Some editors move the old file away first: one look that finds nothing takes nothing away."""
    path = tmp_path / "a.yaml"
    path.write_text(service("db"))
    async with looking(path if named else tmp_path) as looks:
        path.rename(tmp_path / "a.yaml~")
        assert await looks.look() == []
        path.write_text(service("db"))
        assert await looks.look(3) == []
        assert messages(caplog) == []


@pytest.mark.parametrize("named", [True, False], ids=["named", "in a folder"])
async def test_a_file_that_vanishes(tmp_path: Path, named: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It takes its objects with it, and brings them back when it returns."""
    path = tmp_path / "a.yaml"
    path.write_text(services("one", "two"))
    async with looking(path if named else tmp_path) as looks:
        path.unlink()
        assert await looks.look() == []
        assert await looks.look() == ["-one", "-two"]
        assert messages(caplog) == [f"{path}: gone, and its 2 objects with it"]
        assert await looks.look(3) == []
        path.write_text(service("one"))
        assert await looks.look() == ["+one"]


async def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    """A folder goes as its files do, and may come later than the server."""
    folder = tmp_path / "folder"
    async with looking(folder) as looks:
        assert looks.names == []
        folder.mkdir()
        (folder / "a.yaml").write_text(service("db"))
        assert await looks.look() == ["+db"]
        folder.rename(tmp_path / "elsewhere")
        assert await looks.look() == []
        assert await looks.look() == ["-db"]


async def test_a_renamed_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its objects are the same ones: nothing happens to them."""
    (tmp_path / "a.yaml").write_text(service("db"))
    async with looking(tmp_path) as looks:
        (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
        assert await looks.look(3) == []
        assert looks.names == ["db"]
        assert messages(caplog) == [f"{tmp_path / 'a.yaml'}: gone, and its 1 objects with it"]


@pytest.mark.parametrize("named", [True, False], ids=["named", "in a folder"])
async def test_a_config_map_volume(tmp_path: Path, named: bool) -> None:
    """The kubelet swaps `..data`; the file itself is a symlink that never changes. All files change in one step."""
    volume = tmp_path / "volume"
    swap(volume, "..1", {"a.yaml": services("one", "two"), "b.yaml": service("three")})
    async with looking(*([volume / "a.yaml", volume / "b.yaml"] if named else [volume])) as looks:
        assert looks.names == ["one", "three", "two"]
        swap(volume, "..2", {"a.yaml": services("one", "two", "four"), "b.yaml": service("three", port=81)})
        assert await looks.look() == ["+four", "+three"]
        swap(volume, "..3", {"a.yaml": service("one"), "b.yaml": services("two", "three")})
        assert await looks.look() == []
        assert await looks.look() == ["+three", "-four"]
        assert looks.names == ["one", "three", "two"]


async def test_changes_of_one_look_come_together(tmp_path: Path) -> None:
    """Nothing else runs between them, so that the store can publish them in one step."""
    async with looking(tmp_path) as looks:
        looks.turns.append([])

        def turn() -> None:
            looks.turns.append([])
            handles[0] = loop.call_soon(turn)

        loop = asyncio.get_running_loop()
        handles = [loop.call_soon(turn)]
        (tmp_path / "a.yaml").write_text(services("one", "two"))
        (tmp_path / "b.yaml").write_text(services("three", "four"))
        assert await looks.look() == ["+one", "+two", "+three", "+four"]
        handles[0].cancel()
        assert [len(events) for events in looks.turns[1:] if events] == [4]


BREAKS = [
    ("not YAML", b"a: b: c\n", "1: not YAML: mapping values are not allowed in this context"),
    ("not UTF-8", b"# fine\n\xff\xfe\n", "2: not UTF-8"),
    ("not a mapping", b"# fine\n\n- 1\n", "3: not a Kubernetes object: not a mapping"),
    ("no kind", service("one").encode() + b"---\nfoo: bar\n", "8: not a Kubernetes object: no kind"),
]


@pytest.mark.parametrize(("body", "reason"), [row[1:] for row in BREAKS], ids=[row[0] for row in BREAKS])
async def test_a_broken_file_keeps_its_last_good_objects(
    tmp_path: Path, body: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported once per change, with its line; the other files go on, and a repair is taken up at once."""
    path, other = tmp_path / "a.yaml", tmp_path / "b.yaml"
    path.write_text(services("one", "two"))
    async with looking(tmp_path) as looks:
        path.write_bytes(body)
        other.write_text(service("three"))
        assert await looks.look(4) == ["+three"]
        assert looks.names == ["one", "three", "two"]
        assert messages(caplog, logging.ERROR) == [f"{path}:{reason}; its last good objects stay"]
        path.touch()
        assert await looks.look(3) == []
        assert messages(caplog) == []
        assert set(looks.source.status.troubles.values()) == {("unreadable", f"{path}:{reason}")}
        path.write_bytes(b"\n" + body)
        assert await looks.look(3) == []
        assert len(messages(caplog, logging.ERROR)) == 1
        path.write_text(services("one", "two", "four"))
        assert await looks.look() == ["+four"]
        path.write_text(services("one", "four"))
        assert await looks.look(2) == ["-two"]
        assert not looks.source.status.troubles


async def test_broken_at_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The lists end all the same, without what could not be read."""
    (tmp_path / "a.yaml").write_text("[")
    (tmp_path / "b.yaml").write_text(service("db"))
    async with looking(tmp_path) as looks:
        assert looks.names == ["db"]
        (message,) = messages(caplog, logging.ERROR)
        assert message.startswith(f"{tmp_path / 'a.yaml'}:1: not YAML: ")


async def test_a_file_that_cannot_be_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A loop of symlinks, a pipe in the place of a file: what was read before stays, and it is said once."""
    path, other = tmp_path / "a.yaml", tmp_path / "b"
    path.write_text(service("one"))
    other.write_text(service("two"))
    async with looking(tmp_path, other) as looks:
        for file in (path, other):
            file.unlink()
            file.symlink_to(file.name)
        assert await looks.look(4) == []
        assert sorted(messages(caplog)) == [
            f"{path}: Too many levels of symbolic links; its last good objects stay",
            f"{other}: Too many levels of symbolic links; its last good objects stay",
        ]
        other.unlink()
        os.mkfifo(other)
        assert await looks.look(4) == []
        assert messages(caplog) == [f"{other}: not a file any more; its last good objects stay"]
        path.unlink()
        path.write_text(services("one", "three"))
        assert await looks.look() == ["+three"]


async def test_a_file_that_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails is asked again at each look; nothing goes meanwhile."""
    path = tmp_path / "a.yaml"
    path.write_text(service("one"))
    async with looking(path) as looks:
        with monkeypatch.context() as patch:
            patch.setattr("dnsserver.sources.files.read", _fail)
            path.write_text(services("one", "two"))
            assert await looks.look(4) == []
        assert messages(caplog) == [f"{path}: Input/output error; its last good objects stay"]
        assert await looks.look() == ["+two"]
        with monkeypatch.context() as patch:
            patch.setattr("dnsserver.sources.files.read", _miss)
            path.write_text(services("one", "two", "three"))
            assert await looks.look() == []
        assert await looks.look() == ["+three"]


def _fail(path: str) -> object:
    """Fail as a broken disk does."""
    raise OSError(5, "Input/output error", path)


def _miss(path: str) -> object:
    """Find nothing where there was a file a moment ago."""
    raise FileNotFoundError(2, "No such file or directory", path)


REFUSED = "apiVersion: v1\nkind: Service\nmetadata:\n  name: one\n  namespace: ns1\nspec: {clusterIP: [wrong]}\n"


async def test_a_broken_object_is_refused_by_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its last good state stays, the others follow the file, and it is counted and logged once."""
    path = tmp_path / "a.yaml"
    path.write_text(services("two", "one"))
    async with looking(path) as looks:
        path.write_text(f"{service('two', port=81)}---\n{REFUSED}")
        assert await looks.look(3) == ["+two"]
        assert looks.names == ["one", "two"]
        assert looks.source.status.refused == {Kind.SERVICE: 1}
        (message,) = messages(caplog)
        assert message.startswith(f"{path}:8: Service ns1/one: Expected `str")
        path.write_text(service("two", port=81))
        assert await looks.look(2) == ["-one"]


async def test_a_broken_object_at_start_is_kept(tmp_path: Path) -> None:
    """No good state is known here, but a store may remember one: the list names the key."""
    path = tmp_path / "a.yaml"
    path.write_text(f"{service('two')}---\n{REFUSED}")
    async with looking(path) as looks:
        assert looks.names == ["two"]
        assert looks.kept == [("ns1", "one")]


async def test_many_broken_objects_do_not_flood_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first few are named, the others counted."""
    path = tmp_path / "a.yaml"
    path.write_text("---\n".join([REFUSED] * 50))
    async with looking(path) as looks:
        assert looks.source.status.refused == {Kind.SERVICE: 50}
        assert messages(caplog)[20:] == [f"{path}: 30 more objects like these"]


async def test_other_kinds_are_ignored_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`kubectl get pods,svc` is served without a word about the pods."""
    pod = "apiVersion: v1\nkind: Secret\nmetadata: {name: p, namespace: ns1}\n"
    (tmp_path / "a.yaml").write_text(f"{pod}---\n{pod}---\n{service('db')}")
    async with looking(tmp_path) as looks:
        assert looks.source.status.ignored == 2
        assert looks.names == ["db"]
        assert messages(caplog) == []


def _ports(looks: Looks) -> list[int]:
    """Return the port of the Service db."""
    return [port.number for port in cast(Service, looks.objects[Kind.SERVICE]["ns1", "db"]).ports]


async def test_one_object_in_two_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The later path wins, and both places are named; without the later one the earlier counts again."""
    first, second = tmp_path / "z.yaml", tmp_path / "a.yaml"
    first.write_text(service("db", port=1))
    second.write_text("# a\n" + service("db", port=2))
    async with looking(first, second) as looks:
        assert _ports(looks) == [2]
        assert messages(caplog) == [f"{second}:2: Service ns1/db replaces the one at {first}:1"]
        first.write_text("\n\n" + service("db", port=3))
        assert await looks.look() == []
        assert messages(caplog) == []
        second.unlink()
        assert await looks.look(2) == ["+db"]
        assert _ports(looks) == [3]


async def test_one_object_in_three_files_of_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In a folder the names decide; each file is named beside the one that it overrules."""
    for name in ("c", "a", "b"):
        (tmp_path / f"{name}.yaml").write_text(service("db", port=ord(name)))
    async with looking(tmp_path) as looks:
        assert _ports(looks) == [ord("c")]
        a, b, c = (tmp_path / f"{name}.yaml" for name in "abc")
        assert messages(caplog) == [
            f"{b}:1: Service ns1/db replaces the one at {a}:1",
            f"{c}:1: Service ns1/db replaces the one at {b}:1",
        ]


async def test_one_object_twice_in_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The later one counts here too."""
    path = tmp_path / "a.yaml"
    path.write_text(f"{service('db', port=1)}---\n{service('db', port=2)}")
    async with looking(path) as looks:
        assert _ports(looks) == [2]
        assert messages(caplog) == [f"{path}:8: Service ns1/db replaces the one at {path}:1"]


async def test_a_copied_file_does_not_flood_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first few are named, the others counted."""
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(services(*(f"s{number}" for number in range(50))))
    async with looking(tmp_path):
        assert messages(caplog)[20:] == ["30 more objects stand in two files"]


async def test_a_file_named_beside_its_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is one file, and does not clash with itself."""
    path = tmp_path / "a.yaml"
    path.write_text(service("db"))
    async with looking(path, tmp_path, path) as looks:
        assert looks.names == ["db"]
        assert messages(caplog) == []


async def test_each_iterator_begins_with_the_lists(tmp_path: Path) -> None:
    """Whoever starts over is told everything again."""
    (tmp_path / "a.yaml").write_text(service("db"))
    source = Manifests([tmp_path], interval=0)
    for _ in range(2):
        async with aclosing(source.events()) as events:
            listed = [await anext(events) for _ in range(2 * len(Kind) + 1)]
            assert sum(isinstance(event, ListedPage) for event in listed) == 1


def _bad_paths(folder: Path) -> Iterable[tuple[Path, str]]:
    """Yield paths that cannot be served from."""
    yield folder / "missing.yaml", "no such file or folder"
    loop = folder / "loop"
    loop.symlink_to(loop)
    yield loop, "Too many levels of symbolic links"
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    yield pipe, "neither a file nor a folder"
    yield folder / "a\0b", "embedded null byte"


def test_paths_are_checked_at_start(tmp_path: Path) -> None:
    """The command can say at once what is wrong with which path."""
    good = tmp_path / "a.yaml"
    good.write_text("")
    Manifests([tmp_path, good]).check()
    for path, reason in _bad_paths(tmp_path):
        with pytest.raises(ManifestError) as caught:
            Manifests([good, path]).check()
        assert str(caught.value) == f"{path}: {reason}"
        assert (caught.value.path, caught.value.reason) == (str(path), reason)


async def test_the_example(caplog: pytest.LogCaptureFixture) -> None:
    """The example that `make run` serves is four good objects."""
    async with looking(EXAMPLES / "manifests") as looks:
        assert {kind: list(objects) for kind, objects in looks.objects.items() if objects} == {
            Kind.NAMESPACE: [("", "default")],
            Kind.SERVICE: [("default", "mysubdomain")],
            Kind.ENDPOINT_SLICE: [("default", "mysubdomain-x7k2p")],
            Kind.VMI: [("default", "vmi-fedora")],
        }
        assert messages(caplog) == []
    assert "manifests manifests" in (EXAMPLES / "Corefile").read_text()


FILES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([row[1] for row in BREAKS]),
    st.sampled_from([b"", b"{", REFUSED.encode(), service("mine").encode(), service("mine", port=81).encode()]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["a.yaml", "c.json"]), st.none() | FILES), max_size=5))
def test_no_bytes_in_one_file_hurt_another(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bytes | None]]
) -> None:
    """Whatever is written, however often: the source goes on, and the good file's objects are there at every look."""
    folder = tmp_path_factory.mktemp("manifests")
    (folder / "b.yaml").write_text(services("one", "two"))

    async def scenario() -> None:
        async with looking(folder) as looks:
            for name, body in steps:
                if body is None:
                    (folder / name).unlink(missing_ok=True)
                else:
                    (folder / name).write_bytes(body)
                for _ in range(2):
                    await looks.look()
                    assert {"one", "two"} <= set(looks.names)

    asyncio.run(scenario())


async def test_an_edit_is_followed_within_a_second(tmp_path: Path) -> None:
    """With the interval that is the default, objects that come and objects that go."""
    path = tmp_path / "a.yaml"
    path.write_text(service("one"))
    async with aclosing(Manifests([path]).events()) as events:
        while not (isinstance(event := await anext(events), ListEnded) and event.kind is list(Kind)[-1]):
            pass
        async with asyncio.timeout(1):
            path.write_text(services("one", "two"))
            assert _word(await anext(events)) == "+two"
        async with asyncio.timeout(1):
            path.write_text(service("two"))
            assert _word(await anext(events)) == "-one"
