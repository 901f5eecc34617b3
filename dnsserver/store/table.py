"""The objects of one kind, by namespace and name; no I/O."""

from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from dnsserver.objects import Key


class Keyed(Protocol):
    """An object that knows its key."""

    @property
    def key(self) -> Key:
        """(namespace, name)."""
        ...

    @property
    def uid(self) -> str:
        """The UID, "" where it has none."""
        ...


T = TypeVar("T", bound=Keyed)


class Table(Generic[T]):
    """Objects of one kind. A namespace is looked through without touching the others."""

    def __init__(self) -> None:
        self._namespaces: dict[str, dict[str, T]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[T]:
        for objects in self._namespaces.values():
            yield from objects.values()

    def get(self, key: Key) -> T | None:
        """Return one object."""
        objects = self._namespaces.get(key[0])
        return objects.get(key[1]) if objects else None

    def namespaces(self) -> tuple[str, ...]:
        """Return the namespaces that hold any."""
        return tuple(self._namespaces)

    def in_namespace(self, namespace: str) -> Mapping[str, T]:
        """Return the objects of one namespace by name."""
        return self._namespaces.get(namespace, {})

    def put(self, value: T) -> None:
        """Add an object, or replace the one of its name."""
        namespace, name = value.key
        objects = self._namespaces.setdefault(namespace, {})
        self._size += name not in objects
        objects[name] = value

    def pop(self, key: Key) -> T | None:
        """Take an object out."""
        namespace, name = key
        objects = self._namespaces.get(namespace, {})
        value = objects.pop(name, None)
        if value is not None:
            self._size -= 1
            if not objects:
                del self._namespaces[namespace]
        return value
