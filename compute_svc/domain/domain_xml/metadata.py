"""What a domain says about itself, in our own namespace; libvirt keeps it and never reads it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from lxml import etree

from compute_svc.domain.domain_xml.element import Element, element, fill
from compute_svc.domain.domain_xml.inputs import Inputs

NAMESPACE = "urn:protostar:libvirt:1"
_PREFIX = "protostar"
_INSTANCE = f"./metadata/{{{NAMESPACE}}}instance"


def metadata(inputs: Inputs) -> Iterator[Element]:
    """Instance, owner, flavor, image and volumes; without time or version, which would make equal domains differ."""
    spec = inputs.spec
    yield element(
        "metadata",
        _ours(
            "instance",
            _ours("name", text=spec.display_name),
            _ours("owner", project=spec.project, user=spec.user),
            _flavor(inputs),
            _ours("image", uid=spec.image, disk_format=spec.image_disk_format),
            *(_ours("volume", uid=volume.volume_id, device=volume.dev) for volume in inputs.plan.volumes),
        ),
    )


def seal(domain: Element) -> None:
    """Add the digest: SHA-256 of the document's canonical form (C14N) as it is now, without indentation."""
    canonical = etree.tostring(domain, method="c14n")
    instance = domain.find(_INSTANCE)
    assert instance is not None, "a domain is sealed after it got its metadata"
    instance.append(_ours("digest", text=hashlib.sha256(canonical).hexdigest()))


def digest_of(xml_text: str) -> str | None:
    """The digest that a domain was built with; None if it is not ours or has none.

    Read, not computed: libvirt rewrites a document when it is defined, but keeps our metadata.
    """
    instance = _instance(xml_text)
    found = None if instance is None else instance.findtext(f"{{{NAMESPACE}}}digest")
    return found or None


def owned(xml_text: str) -> bool:
    """Whether a domain has our metadata. One that cannot be read is not ours."""
    return _instance(xml_text) is not None


def _instance(xml_text: str) -> Element | None:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        domain = etree.fromstring(xml_text.encode(), parser)
    except etree.XMLSyntaxError:
        return None
    return domain.find(_INSTANCE) if domain.tag == "domain" else None


def _flavor(inputs: Inputs) -> Element:
    flavor = inputs.spec.flavor
    return _ours(
        "flavor",
        vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mib,
        root_gib=flavor.root_gib,
        ephemeral_gib=flavor.ephemeral_gib,
        swap_mib=flavor.swap_mib,
    )


def _ours(tag: str, *children: Element, text: str | None = None, **attributes: str | int | None) -> Element:
    made = etree.Element(f"{{{NAMESPACE}}}{tag}", nsmap={_PREFIX: NAMESPACE})
    fill(made, children, text, attributes)
    return made
