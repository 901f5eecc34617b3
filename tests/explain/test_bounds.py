"""Explaining costs little however many VMIs there are: small steps, and few close comparisons."""

import itertools
from collections.abc import Iterator
from difflib import SequenceMatcher

import msgspec
import pytest

from dnsserver.events import Changed
from dnsserver.explain import similar
from dnsserver.explain.explain import explaining
from dnsserver.explain.question import parse_question
from dnsserver.objects import Kind, VirtualMachineInstance
from dnsserver.store import Store
from tests.build import apply_all, namespace, service, store_of, vmi
from tests.explain.support import served_of

VMIS = 20_000


@pytest.fixture(scope="module")
def crowd() -> Store:
    """Return a store of very many VMIs that all are spelled alike."""
    return store_of((namespace(), service(), *_vmis()))


def _vmis() -> Iterator[VirtualMachineInstance]:
    """Yield VMIs like those of a pool."""
    pattern = vmi("pool-00000", addresses=["10.0.0.1"])
    for number in range(VMIS):
        yield replaced(pattern, f"pool-{number:05}", bytes((10, 1, number // 256, number % 256)))


def replaced(pattern: VirtualMachineInstance, name: str, address: bytes) -> VirtualMachineInstance:
    """Return a VMI of another name and address."""
    return msgspec.structs.replace(pattern, name=name, reported=address, packed_uid=name)


QUESTIONS = ["pool-99999.db.ns1", "pool-00007.db.ns1", "pool-xyz.ns1", "10.250.0.1", "x.y.pool-1.db.ns1.svc"]


@pytest.mark.parametrize("name", QUESTIONS)
def test_small_steps(crowd: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No step looks at more than a few hundred objects, and few names are compared closely."""
    compared: list[str] = []

    class Counting(SequenceMatcher[str]):
        """Counts what is compared."""

        def ratio(self) -> float:
            compared.append("")
            return super().ratio()

    monkeypatch.setattr(similar, "SequenceMatcher", Counting)
    served = served_of(crowd)
    looking = explaining((served,), parse_question(name, "", served.origins), 0.0)
    steps = sum(1 for _ in looking)
    assert steps >= VMIS // 500
    assert len(compared) <= 300  # a hundred for each of namespaces, Services and host names


def test_the_table_may_change_meanwhile(crowd: Store) -> None:
    """Objects that come and go between two steps end no explanation."""
    store = store_of((namespace(), service(), *itertools.islice(_vmis(), 2000)))
    served = served_of(store)
    looking = explaining((served,), parse_question("pool-99999.db.ns1", "", served.origins), 0.0)
    for number, _ in enumerate(looking):
        apply_all(store, [Changed(Kind.VMI, vmi(f"new-{number}"))])
    assert number > 3
