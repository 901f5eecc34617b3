"""The targets by name: what checks an input, what makes another one of it, and how long inputs may get."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.fuzz import check_corefile, check_manifests, check_objects, check_packet, check_response, check_zonefile
from tests.fuzz import mutate_packet as packets
from tests.fuzz.mutate import Mutate
from tests.fuzz.mutate_text import COREFILE_WORDS, ZONE_WORDS, mutator
from tests.fuzz.mutate_tree import mutate_document, mutate_lines

CORPUS = Path(__file__).parent / "corpus"


class Target(NamedTuple):
    """One door by which octets from outside come in."""

    check: Callable[[bytes], None]  # raises AssertionError where an invariant does not hold; may raise nothing else
    mutate: Mutate
    longest: int  # octets


TARGETS = {
    "packet": Target(check_packet.check, packets.mutate, 65535),
    "corefile": Target(check_corefile.check, mutator(COREFILE_WORDS), 4096),
    "manifests": Target(check_manifests.check, mutate_document, 16384),
    "objects": Target(check_objects.check, mutate_lines, 32768),
    "response": Target(check_response.check, packets.mutate, 65535),
    "zonefile": Target(check_zonefile.check, mutator(ZONE_WORDS), 4096),
}


def corpus(name: str) -> dict[Path, bytes]:
    """Return the saved inputs of a target, in a fixed order."""
    return {path: path.read_bytes() for path in sorted((CORPUS / name).iterdir()) if path.is_file()}
