"""What is on the config drive: OpenStack's files, as cloud-init reads them. Pure.

Nothing here changes from start to start unless the instance does, so that equal digests mean an equal drive; for that
reason there is no `random_seed`: the guest has a random number generator.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence

from compute_svc.domain.model import InstanceSpec, Vif
from compute_svc.domain.network_data import network_data

_FOLDER = "openstack/latest"
_MAX_LABEL = 63


def files(spec: InstanceSpec, vifs: Sequence[Vif], availability_zone: str = "nova") -> dict[str, bytes]:
    """Path on the drive to content; the same input gives the same bytes. No `user_data` file when there is none."""
    made = {
        f"{_FOLDER}/meta_data.json": _json(_meta_data(spec, availability_zone)),
        f"{_FOLDER}/network_data.json": _json(network_data(vifs)),
        f"{_FOLDER}/vendor_data.json": _json({}),
    }
    if spec.user_data:
        made[f"{_FOLDER}/user_data"] = spec.user_data
    return made


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256, 64 hex digits, over each path and content by order of path, each after its length in 8 bytes."""
    sha = hashlib.sha256()
    for path in sorted(files):
        for part in (path.encode(), files[path]):
            sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()


def hostname(display_name: str) -> str:
    """One DNS label made from a display name; empty when nothing of it can be used.

    Nova: sanitize_hostname. Accents are dropped rather than their letters.
    """
    plain = unicodedata.normalize("NFKD", display_name).encode("ascii", "ignore").decode()
    dashed = re.sub(r"[\s._]+", "-", plain.lower())
    return re.sub(r"[^a-z0-9-]", "", dashed).strip("-")[:_MAX_LABEL].rstrip("-")


def _meta_data(spec: InstanceSpec, availability_zone: str) -> dict[str, object]:
    return {
        "uuid": spec.uid,
        "name": spec.display_name,
        "hostname": hostname(spec.display_name) or f"server-{spec.uid}",
        "project_id": spec.project,
        "launch_index": 0,
        "availability_zone": availability_zone,
        "meta": dict(spec.metadata),
        "devices": [],
    }


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode() + b"\n"
