"""Slim, frozen Kubernetes objects, parsed once from JSON at the door; no I/O.

Only the fields that decide an answer are ever built. What the API server or a manifest says is not trusted: one
malformed object raises `InvalidObjectError` for itself and touches no other.
"""

from dnsserver.objects.decode import (
    Document,
    InvalidObjectError,
    ListPage,
    WatchEvent,
    decode_document,
    decode_list,
    decode_object,
    decode_watch_event,
    read_object,
)
from dnsserver.objects.endpointslice import EndpointSlice, SliceEndpoint
from dnsserver.objects.kinds import Key, Kind, kind_of
from dnsserver.objects.namespace import Namespace
from dnsserver.objects.pod import Pod
from dnsserver.objects.ports import Port
from dnsserver.objects.service import Service, ServicePort
from dnsserver.objects.vmi import FurtherInterface, PrimaryInterface, Ready, VirtualMachineInstance
from dnsserver.objects.vmi_further import Further

Object = Service | EndpointSlice | VirtualMachineInstance | Namespace | Pod

__all__ = [
    "Document",
    "EndpointSlice",
    "Further",
    "FurtherInterface",
    "InvalidObjectError",
    "Key",
    "Kind",
    "ListPage",
    "Namespace",
    "Object",
    "Pod",
    "Port",
    "PrimaryInterface",
    "Ready",
    "Service",
    "ServicePort",
    "SliceEndpoint",
    "VirtualMachineInstance",
    "WatchEvent",
    "decode_document",
    "decode_list",
    "decode_object",
    "decode_watch_event",
    "kind_of",
    "read_object",
]
