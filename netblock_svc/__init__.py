"""Networks, ports and addresses; volumes, attachments and how a host reaches them."""

import svckit  # noqa: F401  # before anything imports grpc, see there
