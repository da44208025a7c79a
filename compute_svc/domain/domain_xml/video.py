"""What there is to look at. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compute_svc.domain.domain_xml.element import Element, element
from compute_svc.domain.domain_xml.inputs import Inputs
from compute_svc.domain.image_properties import choice

_MODELS = frozenset({"vga", "cirrus", "vmvga", "qxl", "virtio", "bochs", "none"})
_LOOPBACK = "127.0.0.1"


def graphics(inputs: Inputs) -> Iterator[Element]:
    """VNC for this machine only, on a port that libvirt chooses; none in embedded mode."""
    if inputs.has_display:
        listen = element("listen", type="address", address=_LOOPBACK)
        yield element("graphics", listen, type="vnc", port=-1, autoport="yes", listen=_LOOPBACK)


def video(inputs: Inputs) -> Iterator[Element]:
    """The card of hw_video_model, virtio if nobody chose (Nova on x86); none without a display."""
    model = choice(inputs.properties, "hw_video_model", "virtio", _MODELS)
    if inputs.has_display:
        yield element("video", element("model", type=model))
