"""The table of contents of a domain. Pure: no time, no chance, so that equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from lxml import etree

from compute_svc.domain.disk_plan import DiskPlan
from compute_svc.domain.domain_xml.balloon import balloon
from compute_svc.domain.domain_xml.boot import boot
from compute_svc.domain.domain_xml.channel import channel
from compute_svc.domain.domain_xml.clock import clock
from compute_svc.domain.domain_xml.console import console
from compute_svc.domain.domain_xml.controllers import controllers
from compute_svc.domain.domain_xml.cpu import cpu
from compute_svc.domain.domain_xml.disks import disks as disk_elements
from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.emulator import emulator
from compute_svc.domain.domain_xml.features import features
from compute_svc.domain.domain_xml.identity import identity
from compute_svc.domain.domain_xml.input_devices import input_devices
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.domain_xml.interfaces import interfaces
from compute_svc.domain.domain_xml.lifecycle import lifecycle
from compute_svc.domain.domain_xml.memory import memory
from compute_svc.domain.domain_xml.metadata import metadata, seal
from compute_svc.domain.domain_xml.panic import panic
from compute_svc.domain.domain_xml.rng import rng
from compute_svc.domain.domain_xml.video import graphics, video
from compute_svc.domain.domain_xml.watchdog import watchdog
from compute_svc.domain.model import DiskFacts, DomainPaths, HostCaps, InstanceSpec, Vif, VolumeBlockDevice

Part: TypeAlias = Callable[[Inputs], Iterable[Element]]

DOMAIN: tuple[Part, ...] = (identity, metadata, memory, cpu, boot, features, clock, lifecycle)
DEVICES: tuple[Part, ...] = (
    emulator,
    disk_elements,
    controllers,
    interfaces,
    console,
    channel,
    input_devices,
    graphics,
    video,
    watchdog,
    balloon,
    rng,
    panic,
)


def build(
    spec: InstanceSpec,
    plan: DiskPlan,
    disks: Sequence[DiskFacts],
    vifs: Sequence[Vif],
    volumes: Sequence[VolumeBlockDevice],
    host: HostCaps,
    paths: DomainPaths,
) -> str:
    """The domain's XML, with its own digest in its metadata.

    :raise FailedPrecondition: UNSUPPORTED_HARDWARE, UNSUPPORTED_VIF, VOLUME_NOT_CONNECTED, UNSUPPORTED_VOLUME.
    :raise Internal: DISK_MISSING, a planned disk is not among `disks`.
    """
    inputs = Inputs.of(spec, plan, disks, vifs, volumes, host, paths)
    domain = element("domain", *_made(DOMAIN, inputs), type=host.domain_type.value)
    domain.append(element("devices", *_made(DEVICES, inputs)))
    seal(domain)
    return etree.tostring(domain, pretty_print=True, encoding="unicode")


def _made(parts: Iterable[Part], inputs: Inputs) -> Iterable[Element]:
    return (made for part in parts for made in part(inputs))
