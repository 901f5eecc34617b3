"""ServiceImports of the Multi-Cluster Services API (KEP-1645); no I/O.

To the DNS an import is a Service: it has addresses of its own, or it is headless.
"""

from dnsserver.objects.ports import valid_number
from dnsserver.objects.service import Service, ServicePort
from dnsserver.objects.views import Meta, PortView, View, packed


class SpecView(View):
    """What the API sends."""

    type: str | None = None
    ips: list[str] | None = None
    ports: list[PortView] | None = None


class ServiceImportView(View):
    """What the API sends."""

    metadata: Meta
    spec: SpecView | None = None


def service_import(view: ServiceImportView) -> Service:
    """Return the Service that the import is."""
    spec = view.spec or SpecView()
    headless = spec.type == "Headless"
    addresses = (address for text in spec.ips or () if (address := packed(text)) is not None)
    return Service(
        namespace=view.metadata.namespace or "",
        name=view.metadata.name,
        uid=view.metadata.uid or "",
        headless=headless,
        external_name="",
        cluster_ips=() if headless else tuple(dict.fromkeys(addresses)),
        selector={},
        families=frozenset({4, 6}),
        publish_not_ready=False,
        ports=tuple(
            ServicePort(port.name or "", port.protocol or "TCP", port.port or 0, port.port or 0)
            for port in spec.ports or ()
            if valid_number(port.port)
        ),
        imported=True,
        created=view.metadata.created,
    )
