"""The network that every installation begins with."""

from __future__ import annotations

import uuid

from netblock_svc.domain.network import NetworkKind, WantedNetwork, WantedSubnet

# The same everywhere and for ever: whoever knows it need not look for it.
DEFAULT_NETWORK_UID = str(uuid.uuid5(uuid.NAMESPACE_URL, "protostar:networks/default"))

DEFAULT_NETWORK = WantedNetwork(
    uid=DEFAULT_NETWORK_UID,
    project="",
    display_name="default",
    kind=NetworkKind.USER,
    subnets=(WantedSubnet(cidr="10.64.0.0/12"),),
)
