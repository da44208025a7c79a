"""Config drives with pycdlib: iso9660 with Joliet and Rock Ridge, label config-2 (Nova: configdrive.py)."""

from __future__ import annotations

import io
from collections.abc import Mapping

from image_svc.adapters.threads import in_thread
from image_svc.domain.config_drive import folders
from image_svc.domain.iso9660 import CONFIG_DRIVE_LABEL


class IsoBuilder:
    """`ports.DriveBuilder`."""

    async def build(self, files: Mapping[str, bytes], digest: str) -> bytes:
        """See ports.DriveBuilder."""
        return await in_thread(_build, files, digest)


def _build(files: Mapping[str, bytes], digest: str) -> bytes:
    """Plain iso9660 names are short and only numbered; Linux shows the Rock Ridge names, Windows the Joliet ones."""
    # Imported here: 7 MB that a service without config drives never needs.
    import pycdlib

    iso = pycdlib.PyCdlib()
    iso.new(joliet=3, rock_ridge="1.09", vol_ident=CONFIG_DRIVE_LABEL, app_ident_str=digest)
    short = {"": ""}
    for number, folder in enumerate(folders(files)):
        parent, _, name = folder.rpartition("/")
        short[folder] = f"{short[parent]}/D{number}"
        iso.add_directory(short[folder], rr_name=name, joliet_path=f"/{folder}")
    for number, (path, content) in enumerate(sorted(files.items())):
        parent, _, name = path.rpartition("/")
        iso_path = f"{short[parent]}/F{number}.;1"
        iso.add_fp(io.BytesIO(content), len(content), iso_path, rr_name=name, joliet_path=f"/{path}")
    image = io.BytesIO()
    iso.write_fp(image)
    iso.close()
    return image.getvalue()
