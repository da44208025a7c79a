"""What is measured, and against what: `make bench`, design.md section 10."""

import svckit  # noqa: F401  # before anything imports grpc: this process embeds libvirt too, see there
