"""Fixtures for all tests."""

import pytest

from tests.postgres import postgres, postgres_socket, postgres_url

__all__ = ["postgres", "postgres_socket", "postgres_url"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full-matrix", action="store_true", help="kill everything everywhere (tests/chaos)")
    parser.addoption("--regenerate-golden", action="store_true", help="write golden files anew, to be read as a diff")
