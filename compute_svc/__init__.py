import os

# gRPC runs code of its own in every forked child. libvirt's embedded driver forks in this process, and those children
# abort in it: no QEMU can even be probed. gRPC reads this when it is imported, so it stands before every other import.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
