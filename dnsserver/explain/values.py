"""What an explanation is made of: frozen values, which are its JSON as well (docs/explain.md); no I/O."""

from enum import Enum

import msgspec

from dnsserver.derive.vmi import Fact

VERSION = 1  # of the JSON: fields may be added to it, and none is taken away or changes its meaning


class Check(Enum):
    """What has to be so for a name to be there, besides the rules for VMIs (`derive.vmi.Rule`)."""

    SYNCED = "every resource has been listed once"
    ZONE = "the name is in a zone of this server"
    NAME = "names of this shape are made in the zone"
    NAMESPACE = "the namespace is published"
    SERVICE = "the Service is there"
    VMI = "a VirtualMachineInstance has this host name"
    HOST_NAME = "the VMI is published under this host name"
    SUBDOMAIN = "the VMI's spec.subdomain is the Service's name"
    PUBLISHED = "the Service is published"
    ENDPOINTS = "the Service has endpoints that are ready"
    ENDPOINT = "the endpoint is published"
    PORT = "the Service has a port of this name"
    PODS = "addresses of pods have names"
    OWNER = "a published name has the address"
    ALIAS = "the name is an alias for one outside of the zone"
    TYPE = "the name has a record of this type"
    FALLTHROUGH = "what does not exist is passed on"


class ObjectRef(msgspec.Struct, frozen=True, gc=False):
    """An object of the cluster."""

    kind: str
    namespace: str
    name: str

    @property
    def text(self) -> str:
        """The object, for people."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def printable_fact(fact: Fact) -> Fact:
    """Return a fact with nothing in it but what is printable."""
    found = None if fact.found is None else printable(fact.found)
    return Fact(printable(fact.what), printable(fact.wanted), found)


class Step(msgspec.Struct, frozen=True, gc=False):
    """One link of the chain that leads to an answer: a rule, and what it was asked about."""

    rule: str  # of `Check` or `derive.vmi.Rule`: its name in lower case, with dashes
    passed: bool
    text: str  # what the rule says, or what it found
    object: ObjectRef | None = None
    facts: tuple[Fact, ...] = ()  # what was wanted and what was found
    notes: tuple[str, ...] = ()


class NearMiss(msgspec.Struct, frozen=True, gc=False):
    """Something that is there and may have been meant."""

    text: str
    name: str = ""  # a name that exists, "" where it is none


class Explanation(msgspec.Struct, frozen=True, gc=False):
    """Why one question has the answer that it has."""

    asked: str  # as it was typed
    name: str  # the name that is explained, absolute
    type: str
    resolves: bool  # NOERROR, with data
    rcode: str  # "" where other plugins decide
    verdict: str  # one line
    zone: str  # "" where no zone has the name
    serial: int  # the zone's; 0 where there is none, or nothing has been read yet
    answer: tuple[str, ...] = ()  # the records of the answer section, as a zone file has them
    passed_on: tuple[str, ...] = ()  # the plugins that get the question next, or instead
    chain: tuple[Step, ...] = ()
    near_misses: tuple[NearMiss, ...] = ()
    advice: tuple[str, ...] = ()  # what to change
    version: int = VERSION

    @property
    def refusal(self) -> Step | None:
        """The first step that refused, None where none did."""
        return next((step for step in self.chain if not step.passed), None)


def printable(text: str) -> str:
    """Return a text with everything escaped that does not simply stand on a line, such as control characters.

    Names in questions are anybody's, and those of objects may hold anything where they come from files.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "replace").decode() for one in text)


def rule_id(rule: Enum) -> str:
    """Return how a step calls a rule."""
    return rule.name.lower().replace("_", "-")
