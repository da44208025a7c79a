"""Settings of compute_svc; each is read from the environment as PROTOSTAR_<NAME>."""

from __future__ import annotations

import os
from typing import Annotated, Any

from msgspec import Meta

from svckit.config import Settings


class ComputeSettings(Settings, frozen=True, kw_only=True):
    """What every service reads, and what is this one's."""

    libvirt_uri: Annotated[
        str, Meta(description="qemu:///system, test:///default; default qemu:///embed?root=DATA_DIR/libvirt")
    ] = ""
    libvirt_threads: Annotated[int, Meta(ge=2, description="libvirt calls at once, without those that hang")] = 16
    heavy_steps: Annotated[int, Meta(ge=1, description="guests that are booted, and disks made, at once")] = 2 * (
        os.cpu_count() or 1
    )

    def derived(self) -> dict[str, Any]:
        return {**super().derived(), "libvirt_uri": f"qemu:///embed?root={self.data_dir.absolute() / 'libvirt'}"}
