"""One host: the libvirt connection, its guests, the order of a start; no database, a small journal."""

import os

import svckit  # noqa: F401  # before anything imports grpc, see there

# libvirt reads it when it is imported. Its warnings are about what the embedded root was told to be (root's own QEMU, no
# security driver), plain text among JSON lines; its errors are raised, and told by whoever meets them.
os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "4:stderr")
