"""The kinds of object that decide an answer, and how the API names them; no I/O."""

from enum import Enum

Key = tuple[str, str]  # (namespace, name); a cluster-wide object has the namespace ""


class Kind(Enum):
    """A watched kind; the value is the API's word for it."""

    NAMESPACE = "Namespace"
    SERVICE = "Service"
    ENDPOINT_SLICE = "EndpointSlice"
    VMI = "VirtualMachineInstance"
    POD = "Pod"
    SERVICE_IMPORT = "ServiceImport"

    @property
    def group(self) -> str:
        """The API group, empty for the core group."""
        return _GROUPS[self]

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions understood, the preferred first; where there are several, their schemas are identical."""
        return _VERSIONS[self]

    @property
    def resource(self) -> str:
        """The plural that names the resource in API paths and RBAC rules."""
        return _RESOURCES[self]

    @property
    def namespaced(self) -> bool:
        """Whether objects of this kind live in a namespace."""
        return self is not Kind.NAMESPACE


_GROUPS = {
    Kind.NAMESPACE: "",
    Kind.SERVICE: "",
    Kind.ENDPOINT_SLICE: "discovery.k8s.io",
    Kind.VMI: "kubevirt.io",
    Kind.POD: "",
    Kind.SERVICE_IMPORT: "multicluster.x-k8s.io",
}
_VERSIONS = {
    Kind.NAMESPACE: ("v1",),
    Kind.SERVICE: ("v1",),
    Kind.ENDPOINT_SLICE: ("v1",),
    Kind.VMI: ("v1", "v1alpha3"),
    Kind.POD: ("v1",),
    Kind.SERVICE_IMPORT: ("v1beta1", "v1alpha1"),
}
_RESOURCES = {
    Kind.NAMESPACE: "namespaces",
    Kind.SERVICE: "services",
    Kind.ENDPOINT_SLICE: "endpointslices",
    Kind.VMI: "virtualmachineinstances",
    Kind.POD: "pods",
    Kind.SERVICE_IMPORT: "serviceimports",
}
_BY_TYPE = {
    (f"{kind.group}/{version}" if kind.group else version, kind.value): kind
    for kind in Kind
    for version in kind.versions
}


def kind_of(api_version: str, kind: str) -> Kind | None:
    """Return the kind that an object's `apiVersion` and `kind` name; None for one that decides no answer."""
    return _BY_TYPE.get((api_version, kind))
