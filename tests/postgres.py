"""A PostgreSQL of the tests' own: started once a session on a unix socket, one fresh database a test.

    async def test_x(postgres_url: str) -> None:
        database = Database(postgres_url)

Uses the programs of Debian's package `postgresql`; a cluster that the machine may have is left alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psycopg
import pytest

_DEBIAN = Path("/usr/lib/postgresql")
# Nothing here outlives the session, so nothing needs to reach a disk.
_QUICKLY = ("--no-sync", "--no-instructions")
_OPTIONS = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=200"


class Cluster:
    """A server on a unix socket in `folder`; its superuser is `postgres`, without a password.

    With `crashes` it keeps what it committed over `stop` and `start`; otherwise it is quicker and may not.
    """

    def __init__(self, *, crashes: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="protostar-pg-", dir="/tmp"))  # short: a socket's path has 107 bytes
        self._files = self.folder / "cluster"
        self._options = f"-k {self.folder} {_OPTIONS} -c synchronous_commit={'on' if crashes else 'off'}"

    def __enter__(self) -> Self:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        try:
            _run("initdb", "-D", self._files, "-U", "postgres", "--auth=trust", "-E", "UTF8", *_QUICKLY)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop(check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Until it accepts connections."""
        _run("pg_ctl", "-D", self._files, "-l", self.folder / "log", "-w", "-t", "60", "-o", self._options, "start")

    def stop(self, *, check: bool = True) -> None:
        """At once, as when it crashes."""
        _run("pg_ctl", "-D", self._files, "-m", "immediate", "-w", "stop", check=check)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The SQLAlchemy URL of an empty database, dropped afterwards."""
        name = f"test_{uuid.uuid4().hex}"
        self._execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"postgresql+psycopg://postgres@/{name}?host={self.folder}"
        finally:
            self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        with psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres", autocommit=True) as server:
            server.execute(statement)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A running server, shared by all tests: nobody stops it."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres_socket(postgres: Cluster) -> Path:
    """The folder with its socket."""
    return postgres.folder


@pytest.fixture
def postgres_url(postgres: Cluster) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database, dropped after the test."""
    with postgres.database() as url:
        yield url


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
