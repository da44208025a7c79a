"""What to do about an error, by its reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping

# {name} is what the user called the thing of that kind, or what the error's metadata says under that name. A hint whose
# values are missing is left out.
_BY_REASON: Mapping[str, str] = {
    "INSTANCE_NOT_FOUND": "protostar instance list   shows what there is",
    "IMAGE_NOT_FOUND": "protostar image list   shows what there is; protostar image import NAME SOURCE   adds one",
    "NETWORK_NOT_FOUND": "protostar network list   shows what there is",
    "PORT_NOT_FOUND": "protostar port list   shows what there is",
    "VOLUME_NOT_FOUND": "protostar volume list   shows what there is",
    "OPERATION_NOT_FOUND": "protostar operation list   shows what there is",
    "HOST_UNKNOWN": "protostar host list   shows what there is",
    "INSTANCE_LOCKED": "its owner or an admin may unlock it: protostar instance unlock {instance}",
    "INSTANCE_INVALID_STATE": "protostar instance show {instance}   tells more; --join allows what is so already",
    "INSTANCE_NOT_READY": "it is still being built: protostar instance show {instance}",
    "OPERATION_IN_PROGRESS": "protostar operation wait {operation}   waits for it; then try again",
    "CONCURRENT_UPDATE": "somebody else was faster; look again, then retry",
    "PERMISSION_DENIED": "act as somebody who may: --user, --project, --roles",
    "NO_CAPACITY": "protostar host list   shows what is promised already",
    "QUOTA_EXCEEDED": "protostar instance list   shows what there is; delete what is not needed",
    "STORAGE_UNAVAILABLE": "nothing was changed; retry, and see DATA/logs if it stays",
    "IMAGE_SOURCE_UNREADABLE": "image_svc reads the file, not this command: it must be there on its host",
    "IMAGE_CHECKSUM_MISMATCH": "the file is not the one that --sha256 tells of; fetch it again",
    "IMAGE_UNACCEPTABLE": "qemu-img convert -O qcow2 SOURCE NEW.qcow2   makes an image that stands alone",
    "NETWORK_IN_USE": "protostar port list   shows the ports on it",
    "PORT_IN_USE": "it goes with its instance: protostar instance delete",
    "VOLUME_IN_USE": "protostar volume detach {volume}   frees it, once its instance is stopped",
    "TOOL_MISSING": "protostar doctor   tells the command that installs it",
    "DOMAIN_DIED": "protostar instance console {instance}   shows the guest's last words",
    "CURSOR_EXPIRED": "watch again without --cursor: a snapshot comes first",
}


_UNNAMED = {"instance": "INSTANCE", "volume": "VOLUME"}


def hint(reason: str, metadata: Mapping[str, str], called: Mapping[str, str] | None = None) -> str:
    """One line that says what to do; empty when there is nothing to say. `called` is what the user named, by kind."""
    try:
        return _BY_REASON.get(reason, "").format_map({**_UNNAMED, **metadata, **(called or {})})
    except KeyError:
        return ""
