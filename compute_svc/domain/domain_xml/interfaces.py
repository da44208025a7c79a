"""The guest's network interfaces (nova-behaviour, section 3.5). Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.image_properties import choice
from compute_svc.domain.model import DomainType, Vif, VifKind
from svckit.errors import FailedPrecondition

# Nova: libvirt/vif.py, what kvm and qemu may have.
_MODELS = frozenset({"virtio", "ne2k_pci", "pcnet", "rtl8139", "e1000", "e1000e", "vmxnet3", "igb", "spapr-vlan"})


def interfaces(inputs: Inputs) -> Iterator[Element]:
    """One for each VIF, in guest order, with the model of hw_vif_model.

    :raise FailedPrecondition: UNSUPPORTED_VIF, UNSUPPORTED_HARDWARE.
    """
    model = choice(inputs.properties, "hw_vif_model", "virtio", _MODELS)
    for vif in inputs.vifs:
        require_supported(vif)
        yield element(
            "interface",
            element("mac", address=vif.address),
            *_KINDS[vif.type](vif),
            element("model", type=model),
            *_driver(vif, model, inputs),
            type=vif.type.value,
        )


def require_supported(vif: Vif) -> None:
    """Refuse early what cannot be plugged.

    :raise FailedPrecondition: UNSUPPORTED_VIF.
    """
    if vif.type not in _KINDS or vif.vnic_type != "normal":
        raise FailedPrecondition(
            f"port {vif.id} is of kind {vif.type.value}, vnic_type {vif.vnic_type}, which this host does not plug; "
            "use a port on a network of kind user, bridge or network",
            reason="UNSUPPORTED_VIF",
            metadata={"port": vif.id, "vif_type": vif.type.value, "vnic_type": vif.vnic_type},
        )


def _user(vif: Vif) -> Iterator[Element]:
    """QEMU's own network, which is the port's own subnet and hands out its 15th address.

    No MTU: libvirt has none for this kind.
    """
    for subnet in vif.network.subnets:
        if subnet.version == 4:
            cidr = ipaddress.ip_network(subnet.cidr, strict=False)
            yield element("ip", family="ipv4", address=str(cidr.network_address), prefix=cidr.prefixlen)
            return


def _bridge(vif: Vif) -> Iterator[Element]:
    yield element("source", bridge=vif.network.bridge)
    yield from _tap(vif)


def _network(vif: Vif) -> Iterator[Element]:
    yield element("source", network=vif.network.bridge)
    yield from _tap(vif)


def _tap(vif: Vif) -> Iterator[Element]:
    if vif.devname:
        yield element("target", dev=vif.devname)
    if vif.network.mtu:
        yield element("mtu", size=vif.network.mtu)


_KINDS: Mapping[VifKind, Callable[[Vif], Iterator[Element]]] = MappingProxyType(
    {VifKind.USER: _user, VifKind.BRIDGE: _bridge, VifKind.NETWORK: _network}
)


def _driver(vif: Vif, model: str, inputs: Inputs) -> Iterator[Element]:
    """Nova: an emulated guest's virtio NIC is QEMU's own, never the kernel's vhost."""
    if model == "virtio" and vif.type is not VifKind.USER and inputs.host.domain_type is DomainType.QEMU:
        yield element("driver", name="qemu")
