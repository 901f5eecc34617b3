"""What keeps 100,000 objects small: equal values held once, and UIDs as numbers."""

import sys

import pytest

from dnsserver.objects import shared
from dnsserver.objects.shared import share
from dnsserver.objects.uids import created_at, dated, pack_uid, uid_text
from tests.build import vmi

UUID = "0f1e2d3c-0000-4000-8000-00000000abcd"


def test_equal_values_are_one() -> None:
    """The first stands for all that equal it, and for nothing of another type."""
    first = share(("a", 1))
    assert share(("a", 1)) is first
    assert share(("a", 2)) is not first
    assert [share(True), share(1)] == [True, 1]
    assert share(1) is not True


def test_sharing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that nobody has any more are forgotten at some time."""
    monkeypatch.setattr(shared, "LIMIT", 10)
    for number in range(100):
        share((number, "bounded"))
    assert len(shared._known) <= 10


@pytest.mark.parametrize("text", [UUID, "", "pod-1", UUID.upper(), UUID.replace("-", ""), f"{UUID} ", "1_0"])
def test_uid_round_trip(text: str) -> None:
    """Whatever a UID is, it comes out as it came in."""
    assert uid_text(pack_uid(text)) == text


def test_uid_is_small() -> None:
    """A UUID is a number, and no other text is: not even one that spells the same."""
    assert isinstance(pack_uid(UUID), int)
    assert isinstance(pack_uid(UUID.upper()), str)


def test_dated_uids() -> None:
    """A UUID remembers when its object was made, and takes no more memory for that; other texts cannot."""
    uid = pack_uid(UUID.replace("0f", "ff", 1))
    made = dated(uid, 1768469400)
    assert (created_at(made), uid_text(made)) == (1768469400, uid_text(uid))
    blocks = {-(-sys.getsizeof(one) // 16) for one in (uid, made)}  # the allocator gives out 16 octets at a time
    assert len(blocks) == 1
    assert created_at(uid) == created_at(dated("pod-1", 1768469400)) == 0
    assert dated(uid, 0) == uid


def test_vmis_of_a_group_share() -> None:
    """What they have in common is one object, also where each is labelled with its own name and node."""
    name = "vm.kubevirt.io/name"
    one, two = (vmi(text, labels={"app": "db", name: text, "n": "node1"}) for text in ("vm1", "vm2"))
    assert one.shape is two.shape
    assert [one.labels[name], two.label(name), two.label("n"), two.label("x")] == ["vm1", "vm2", "node1", None]
    assert one != two
