"""One host: the libvirt connection, its guests, the order of a start; no database, a small journal."""

import svckit  # noqa: F401  # before anything imports grpc, see there
