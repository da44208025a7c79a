"""The public door: instances, operations, hosts and events; the state machine; policy."""

import svckit  # noqa: F401  # before anything imports grpc, see there
