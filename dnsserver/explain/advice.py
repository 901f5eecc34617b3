"""What to change so that a rule passes; no I/O."""

from dnsserver.derive.vmi import Rule, host_label
from dnsserver.objects import Service, VirtualMachineInstance

_ENDED = ("Succeeded", "Failed")


def advice(rule: Rule, vmi: VirtualMachineInstance, service: Service) -> str:
    """Return what to do about a rule that refuses a VMI under a Service."""
    where = f"{service.namespace}/{service.name}"
    match rule:
        case Rule.HEADLESS:
            return (
                f"make Service {where} headless (clusterIP: None); "
                "a cluster IP cannot be taken away, so delete the Service and create it again"
            )
        case Rule.SELECTOR:
            return _selector(vmi, service)
        case Rule.HOST_LABEL:
            return (
                f"set spec.hostname of VMI {vmi.namespace}/{vmi.name} to a DNS label: "
                "lower-case letters, digits and dashes, no dash at the ends, 63 characters at most"
            )
        case Rule.PHASE:
            return _phase(vmi)
        case Rule.DELETING:
            return "wait until the VMI has gone; its VM starts another one where it is to run"
        case Rule.READY:
            return (
                f"see why it is not Ready: kubectl -n {vmi.namespace} describe vmi {vmi.name}; "
                f"Service {where} can also publish it before it is (publishNotReadyAddresses: true)"
            )
        case Rule.PRIMARY_NETWORK:
            return "give the VMI an interface on the pod network (pod: {}) or on a Multus network with default: true"
        case Rule.ADDRESS:
            return _address(vmi, service)


def subdomain(vmi: VirtualMachineInstance, service: str) -> str:
    """Return how a VMI gets its name below a Service."""
    return (
        f"set spec.subdomain: {service} on VMI {vmi.namespace}/{vmi.name}; a VMI keeps what it was made with, so "
        "change spec.template.spec of its VM, and restart that"
    )


def create_service(namespace: str, name: str) -> str:
    """Return what is to be done where a Service is missing."""
    return f"create Service {namespace}/{name}: headless (clusterIP: None), with a selector that matches the VMI"


def _selector(vmi: VirtualMachineInstance, service: Service) -> str:
    """Return what to do about a selector that does not match."""
    where = f"Service {service.namespace}/{service.name}"
    if not service.selector:
        return f"give {where} a selector, such as vmi.kubevirt.io/id: {vmi.name}, or a label of the VMI's"
    pairs = ", ".join(f"{key}: {value}" for key, value in sorted(service.selector.items()))
    return (
        f"give the VMI the labels that {where} selects ({pairs}), in spec.template.metadata of its VM, "
        "or select the labels that it has"
    )


def _phase(vmi: VirtualMachineInstance) -> str:
    """Return what to do about a VMI that does not run."""
    if vmi.phase in _ENDED:
        return f"start it again, as with: virtctl -n {vmi.namespace} start {vmi.name}"
    return f"wait until it runs, or see what it waits for: kubectl -n {vmi.namespace} describe vmi {vmi.name}"


def _address(vmi: VirtualMachineInstance, service: Service) -> str:
    """Return what to do about a VMI without an address of a family that is served."""
    had = {4 if len(one) == 4 else 6 for one in (vmi.primary.addresses if vmi.primary else ())}
    if missing := sorted(had - service.families):
        families = ", ".join(f"IPv{family}" for family in sorted(service.families | set(missing)))
        return f"have Service {service.namespace}/{service.name} serve the family too (ipFamilies: [{families}])"
    shown = "-o jsonpath='{.status.interfaces}'"
    return (
        f"see what {host_label(vmi)} reports: kubectl -n {vmi.namespace} get vmi {vmi.name} {shown}; "
        "an address has to be on its primary network"
    )
