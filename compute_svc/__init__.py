"""One host: the libvirt connection, its guests, the order of a start; no database, a small journal."""

import os

import svckit  # noqa: F401  # before anything imports grpc, see there

# libvirt reads this when it is imported. What it would write is plain text among JSON lines, and about things as they
# have to be here (root's own QEMU, no dmidecode); its errors are raised, and told by whoever meets them.
os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null")
