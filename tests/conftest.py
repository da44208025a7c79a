"""Fixtures for all tests."""

from tests.postgres import postgres_socket, postgres_url

__all__ = ["postgres_socket", "postgres_url"]
