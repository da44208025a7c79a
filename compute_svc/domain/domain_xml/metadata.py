"""What a domain says about itself, in our own namespace."""

from __future__ import annotations


def digest_of(xml_text: str) -> str | None:
    """The digest that a domain was built with; None if it is not ours or has none."""
    raise NotImplementedError


def owned(xml_text: str) -> bool:
    """Whether a domain has our metadata."""
    raise NotImplementedError
