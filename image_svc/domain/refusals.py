"""The refusals that are this service's own, each with its reason and what to do about it."""

from __future__ import annotations

from svckit.errors import FailedPrecondition, NotFound, ResourceExhausted


def image_unacceptable(why: str) -> FailedPrecondition:
    """IMAGE_UNACCEPTABLE: the content of an image is not what we give to QEMU."""
    return FailedPrecondition(f"the image is not accepted: {why}", reason="IMAGE_UNACCEPTABLE", metadata={"why": why})


def source_unreadable(source: str, why: str) -> FailedPrecondition:
    """IMAGE_SOURCE_UNREADABLE: what an import should read cannot be read."""
    return FailedPrecondition(
        f"cannot read {source}: {why}", reason="IMAGE_SOURCE_UNREADABLE", metadata={"source": source, "why": why}
    )


def image_not_found(uid: str, why: str = "") -> NotFound:
    """IMAGE_NOT_FOUND: not in the catalogue, or, with `why`, in it but of no use."""
    error = NotFound.of("image", uid)
    if why:
        error.message = f"image {uid!r} cannot be used: {why}"
        error.args = (error.message,)
    return error


def flavor_disk_too_small(name: str, wanted: int, needed: int) -> FailedPrecondition:
    """FLAVOR_DISK_SMALLER_THAN_IMAGE (Nova: FlavorDiskSmallerThanImage)."""
    return FailedPrecondition(
        f"the flavor gives {name} {wanted} bytes and the image needs {needed}; take a flavor with a larger root disk",
        reason="FLAVOR_DISK_SMALLER_THAN_IMAGE",
        metadata={"disk": name, "wanted_bytes": str(wanted), "image_bytes": str(needed)},
    )


def disk_unsound(path: str, why: str, remedy: str) -> FailedPrecondition:
    """DISK_UNSOUND: a disk is there and must not be given to a guest as it is; nothing was changed."""
    return FailedPrecondition(
        f"{path} {why}; {remedy}", reason="DISK_UNSOUND", metadata={"path": path, "why": why, "remedy": remedy}
    )


def no_space(path: str) -> ResourceExhausted:
    """NO_SPACE: the file system is full, or its quota is used up."""
    return ResourceExhausted(
        f"no space left for {path}; free some space or move the data directory, then retry",
        reason="NO_SPACE",
        metadata={"path": path},
    )
