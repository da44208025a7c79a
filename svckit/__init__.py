"""What every daemon of Protostar shares; it knows no service.

errors      the vocabulary that survives the wire (pure)
status      errors to google.rpc.Status and back
listing     page tokens and filters (pure)
names       resource names (pure)
defaults    where things are when nobody says otherwise
config      settings every service has
server      the life of a daemon: serve, drain, flush
reflection  what is served, for grpcurl
interceptors, channel   both ends of a call: traces, errors, deadlines
tracing, logs           OpenTelemetry and structured logs
database    sessions with spans, on SQLite and PostgreSQL
sqlite      one trip to a connection's thread per statement
migrate     schemas brought up to date, in a process of its own
process     the one door to subprocesses
files       writes that survive power loss
failpoints  named places to die at, inert unless asked for
"""

import os

# gRPC runs code of its own in every forked child. libvirt's embedded driver forks inside compute_svc, and those
# children abort in it: no QEMU can even be probed. gRPC reads this when it is imported, so that every service imports
# svckit before anything else.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
