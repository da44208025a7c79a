"""Settings of compute_svc; each is read from the environment as PROTOSTAR_<NAME>."""

from __future__ import annotations

import os
from typing import Self

from pydantic import Field, model_validator

from svckit.config import Settings


class ComputeSettings(Settings):
    """What every service reads, and what is this one's."""

    libvirt_uri: str = Field(
        default="", description="qemu:///system, test:///default; default qemu:///embed?root=DATA_DIR/libvirt"
    )
    libvirt_threads: int = Field(default=16, ge=2, description="libvirt calls at once, not counting those that hang")
    heavy_steps: int = Field(
        default=2 * (os.cpu_count() or 1), ge=1, description="guests that are booted, and disks made, at once"
    )

    @model_validator(mode="after")
    def _fill_uri(self) -> Self:
        if not self.libvirt_uri:
            object.__setattr__(self, "libvirt_uri", f"qemu:///embed?root={self.data_dir.absolute() / 'libvirt'}")
        return self
