"""Whether an address is free to listen on, and who has it when it is not."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from cli.supervisor import linux


def why_not_free(address: str) -> str | None:
    """What keeps a server from listening at host:port, for people; None when nothing does.

    A unix socket's address is left to its server, which may take over a file that nobody listens on any more.
    """
    if address.startswith("unix:"):
        return None
    host, _, port = address.rpartition(":")
    try:
        _try_to_listen(host.strip("[]"), int(port))
    except OSError as error:
        return f"is taken{_by(int(port))}" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
    return None


def _try_to_listen(host: str, port: int) -> None:
    family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as listener:
        # Without it, connections of a server that has just ended would still block the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(1)


def _by(port: int) -> str:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        inode = _listening_inode(Path(table), port)
        pid = linux.owner_of_socket(inode) if inode else None
        if pid:
            return f" by process {pid} ({linux.command_of(pid)[:60]})"
    return " by another process"


def _listening_inode(table: Path, port: int) -> str | None:
    listening = "0A"
    for line in table.read_text().splitlines()[1:] if table.exists() else ():
        fields = line.split()
        if fields[3] == listening and int(fields[1].rpartition(":")[2], 16) == port:
            return fields[9]
    return None
