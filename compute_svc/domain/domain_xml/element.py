"""XML elements in one expression each. Pure."""

from __future__ import annotations

import re
from typing import TypeAlias

from lxml import etree

Element: TypeAlias = etree._Element

# What XML 1.0 cannot say at all, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def element(tag: str, *children: Element, text: str | int | None = None, **attributes: str | int | None) -> Element:
    """An element; attributes that are None are left out, and what XML cannot say becomes U+FFFD."""
    made = etree.Element(tag)
    fill(made, children, text, attributes)
    return made


def fill(
    made: Element, children: tuple[Element, ...], text: str | int | None, attributes: dict[str, str | int | None]
) -> None:
    """Give an element its content."""
    for name, value in attributes.items():
        if value is not None:
            made.set(name, clean(value))
    if text is not None:
        made.text = clean(text)
    made.extend(children)


def clean(value: str | int) -> str:
    """Text that XML can carry."""
    return _NOT_XML.sub("\ufffd", str(value))
