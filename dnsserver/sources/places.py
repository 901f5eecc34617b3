"""The objects of one kind that manifests hold, and where; no I/O.

There may be 100,000, and the store holds them as well: here they cost little more than a pointer each.
"""

from array import array
from collections.abc import Iterator

from dnsserver.objects import Key, Object


class Places:
    """Objects by namespace and name, each with the line that its document starts on."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Object]] = {}
        self._lines: dict[str, array[int]] = {}  # by namespace, in the order of its names
        self._positions: dict[Key, int] | None = None  # in `_lines`; made where a line is first asked for

    def __len__(self) -> int:
        return sum(map(len, self._objects.values()))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, tuple) and key[1] in self._objects.get(key[0], ())

    def __iter__(self) -> Iterator[Key]:
        return ((namespace, name) for namespace, objects in self._objects.items() for name in objects)

    def values(self) -> Iterator[Object]:
        """Yield the objects."""
        for objects in self._objects.values():
            yield from objects.values()

    def items(self) -> Iterator[tuple[Key, Object]]:
        """Yield each object and its key."""
        for namespace, objects in self._objects.items():
            for name, value in objects.items():
                yield (namespace, name), value

    def get(self, key: Key) -> Object | None:
        """Return one object, None where there is none."""
        return self._objects.get(key[0], {}).get(key[1])

    def put(self, key: Key, value: Object, line: int) -> None:
        """Add an object, or replace the one of its name."""
        namespace, name = key
        objects = self._objects.setdefault(namespace, {})
        lines = self._lines.get(namespace)
        if lines is None:
            lines = self._lines[namespace] = array("Q")
        if name in objects:
            lines[self._position(key)] = line
        else:
            if self._positions is not None:
                self._positions[key] = len(lines)
            lines.append(line)
        objects[name] = value

    def line(self, key: Key) -> int:
        """Return the line of an object that there is."""
        return self._lines[key[0]][self._position(key)]

    def settle(self) -> None:
        """Let go of what only finding lines needs."""
        self._positions = None

    def common(self, other: "Places") -> set[Key]:
        """Return the keys that both have."""
        return {
            (namespace, name)
            for namespace, objects in self._objects.items()
            for name in objects.keys() & other._objects.get(namespace, {}).keys()
        }

    def within(self, other: "Places") -> bool:
        """Say whether the other has every key."""
        return all(
            objects.keys() <= other._objects.get(namespace, {}).keys() for namespace, objects in self._objects.items()
        )

    def update(self, other: "Places") -> None:
        """Take over what another has; the other's objects count."""
        for namespace, objects in other._objects.items():
            for (name, value), line in zip(objects.items(), other._lines[namespace], strict=True):
                self.put((namespace, name), value, line)

    def _position(self, key: Key) -> int:
        """Return where in the lines of its namespace an object's is."""
        if self._positions is None:
            self._positions = {
                (namespace, name): position
                for namespace, objects in self._objects.items()
                for position, name in enumerate(objects)
            }
        return self._positions[key]
