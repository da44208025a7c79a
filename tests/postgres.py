"""A PostgreSQL of the tests' own: started once a session on a unix socket, one fresh database a test.

    async def test_x(postgres_url: str) -> None:
        database = Database(postgres_url)

Uses the programs of Debian's package `postgresql`; a cluster that the machine may have is left alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

_DEBIAN = Path("/usr/lib/postgresql")
# Nothing here outlives the session, so nothing needs to reach a disk.
_OPTIONS = "-c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[Path]:
    """The folder with the socket of a running server; its superuser is `postgres`, without a password."""
    folder = Path(tempfile.mkdtemp(prefix="protostar-pg-", dir="/tmp"))  # short: a socket's path has 107 bytes
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    cluster = folder / "cluster"
    try:
        _run("initdb", "-D", cluster, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync", "--no-instructions")
        _run("pg_ctl", "-D", cluster, "-l", folder / "log", "-w", "-t", "60", "-o", f"-k {folder} {_OPTIONS}", "start")
        yield folder
    finally:
        _run("pg_ctl", "-D", cluster, "-m", "immediate", "-w", "stop", check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_socket: Path) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database, dropped after the test."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(host=str(postgres_socket), user="postgres", dbname="postgres", autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"postgresql+psycopg://postgres@/{name}?host={postgres_socket}"
        finally:
            server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _run(program: str, *arguments: object, check: bool = True) -> None:
    # PostgreSQL refuses to run as root.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    result = subprocess.run(
        [*user, _path_of(program), *map(str, arguments)], cwd="/", capture_output=True, text=True, check=False
    )
    if check and result.returncode:
        raise RuntimeError(f"{program}: {result.stdout}{result.stderr}")


def _path_of(program: str) -> str:
    found = sorted(_DEBIAN.glob(f"*/bin/{program}"), key=lambda path: float(path.parts[-3]))
    path = str(found[-1]) if found else shutil.which(program)
    if not path:
        raise RuntimeError(f"{program} is missing; apt-get install postgresql")
    return path
