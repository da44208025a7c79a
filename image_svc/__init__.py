"""The image catalogue, `_base`, and the disk files of instances."""

import svckit  # noqa: F401  # before anything imports grpc, see there
