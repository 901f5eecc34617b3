"""Mutations of JSON and YAML by their values: fields renamed, dropped, doubled, exchanged, of other types."""

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

import yaml

from tests.fuzz.mutate import mutate_octets, splice

try:
    from yaml import CSafeDumper as Dumper
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML was built without libyaml: slower, the same result
    from yaml import SafeDumper as Dumper  # type: ignore[assignment]  # the two share what is used here, but no base
    from yaml import SafeLoader as Loader  # type: ignore[assignment]  # likewise

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 53, 65535, 65536, 2**31, 2**63, 2**64, 1.5, 1e308, "", " ", "None", "db", "vm1"),
    *("10.0.0.1", "10.244.0.7", "fd00::8", "::ffff:10.0.0.1", "fe80::1%eth0", "999.1.1.1", "0.0.0.0", "x" * 63),
    *("x" * 64, "a.b", "A_b", "-a", "é", "a b", "\0", "\ud800", "*", "ns1", "True", "Running", "http", "TCP", "SCTP"),
    *([], {}, [None], {"": ""}, [[]], {"name": None}, "2026-01-01T00:00:00Z", "Headless", "ExternalName", "x." * 126),
)
NAMES = (
    *("name", "namespace", "uid", "labels", "annotations", "deletionTimestamp", "kind", "apiVersion", "metadata"),
    *("spec", "status", "items", "clusterIP", "clusterIPs", "selector", "ports", "ipFamilies", "externalName", "type"),
    *("endpoints", "addresses", "conditions", "ready", "hostname", "subdomain", "activePods", "interfaces", "networks"),
    *("ipAddresses", "ipAddress", "phase", "nodeName", "migrationState", "targetRef", "podIP", "topology", "object"),
)


def mutate_document(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """Return a manifest with some values changed, as JSON or as YAML; or with its octets changed."""
    how = chance.random()
    if how < 0.15:
        return mutate_octets(data, chance, others)
    if how < 0.2:
        return splice(data, chance, others)
    documents = _documents(data)
    if not documents:
        return mutate_octets(data, chance, others)
    pool = _documents(chance.choice(others)) if others and chance.random() < 0.3 else documents
    for _ in range(chance.choice((1, 1, 2, 4))):
        documents[chance.randrange(len(documents))] = changed(chance.choice(documents), chance, pool)
    if chance.random() < 0.5:
        return "\n".join(json.dumps(one, indent=chance.choice((None, 1))) for one in documents).encode()
    try:
        text: str = yaml.dump_all(documents, Dumper=Dumper, allow_unicode=chance.random() < 0.5)
        return text.encode()
    except (yaml.YAMLError, UnicodeEncodeError, OverflowError):  # what YAML cannot say
        return json.dumps(documents[0]).encode()


def _documents(data: bytes) -> list[Any]:
    """Return a manifest's documents, none where it cannot be read."""
    try:
        return [one for one in yaml.load_all(data, Loader=Loader) if isinstance(one, dict)]
    except Exception:  # of a kind for each thing that can be wrong
        return []


def mutate_lines(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """Return lines of JSON with some values changed, or lines dropped, doubled, moved or taken from elsewhere."""
    if chance.random() < 0.1:
        return mutate_octets(data, chance, others)
    lines = data.splitlines()
    for _ in range(chance.choice((1, 1, 2, 4))):
        _change_lines(lines, chance, others)
    return b"\n".join(lines)


def _change_lines(lines: list[bytes], chance: Random, others: Sequence[bytes]) -> None:
    if not lines or (others and chance.random() < 0.2):
        other = chance.choice(others).splitlines() if others else []
        lines[:] = lines[:30] + (other if chance.random() < 0.3 else [chance.choice(other)] if other else [])
        return
    at = chance.randrange(len(lines))
    how = chance.random()
    if how < 0.1:
        del lines[at]
    elif how < 0.25:
        chance.shuffle(lines)
    else:
        try:
            value = json.loads(lines[at])
        except (ValueError, RecursionError):
            return
        if how < 0.4 and isinstance(value, dict):
            value["type"] = chance.choice(("ADDED", "MODIFIED", "DELETED", "DELETED", "BOOKMARK", "ERROR", "x"))
        else:
            value = changed(value, chance, [value])
        line = json.dumps(value).encode()
        lines.insert(chance.randrange(at, len(lines)) + 1, line)
        if chance.random() < 0.6:
            del lines[at]


def changed(document: Any, chance: Random, pool: Sequence[Any]) -> Any:
    """Return a copy of a document in which one node is another."""
    document = copy.deepcopy(document)
    nodes = list(_nodes(document))
    if not nodes:
        return chance.choice(VALUES)
    holder, key = chance.choice(nodes)
    how = chance.randrange(6)
    if how == 0:
        del holder[key]
    elif how == 1:
        holder[key] = copy.deepcopy(chance.choice(VALUES))
    elif how == 2:
        others = list(_nodes(chance.choice(pool))) if pool else []
        if others:
            source, name = chance.choice(others)
            holder[key] = copy.deepcopy(source[name])
    elif how == 3 and isinstance(holder, dict):
        holder[chance.choice(NAMES)] = copy.deepcopy(holder[key])
    elif how == 4 and isinstance(holder, list):
        holder += [copy.deepcopy(holder[key])] * chance.choice((1, 1, 3, 30))
    elif isinstance(holder[key], str):
        holder[key] = _text(holder[key], chance)
    return document


def _text(text: str, chance: Random) -> str:
    """Return a text that is a little different."""
    at = chance.randrange(len(text) + 1)
    return chance.choice((text[:at] + chance.choice(".-_0aA é:%") + text[at:], text[:at], text * 3, text.upper()))


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    """Return every place of a document that holds a value: its holder, and the key or index there."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            found.append((holder, key))
            waiting.append(holder[key])
    return found
