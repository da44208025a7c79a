"""Every kind of domain as a file to read: `pytest --regenerate-golden` writes them anew.

Each is also checked against libvirt's own schema, and really defined and started on libvirt's test driver. And nothing
in the code that makes them may be without an example.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from lxml import etree

from compute_svc.domain import domain_xml
from compute_svc.domain.domain_xml.build import DEVICES as DEVICE_PARTS
from compute_svc.domain.domain_xml.build import DOMAIN as DOMAIN_PARTS
from compute_svc.domain.domain_xml.metadata import NAMESPACE
from tests.unit.compute_svc.domain_matrix import MATRIX
from tests.unit.compute_svc.given import UID, Guest

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")
CODE = Path(domain_xml.__file__).parents[1]

PROPERTY = re.compile(r"(hw|img)_\w*[a-z]|os_type")

each_guest = pytest.mark.parametrize("name", MATRIX)


@pytest.fixture(scope="module")
def schema() -> etree.RelaxNG:
    return etree.RelaxNG(file=str(SCHEMA))


@pytest.fixture
def driver() -> Iterator[libvirt.virConnect]:
    libvirt.registerErrorHandler(lambda context, error: None, None)
    connection = libvirt.open("test:///default")
    yield connection
    connection.close()


@each_guest
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    path, made = GOLDEN / f"{name}.xml", MATRIX[name].xml()
    if request.config.getoption("--regenerate-golden"):
        path.write_text(made)
    kept = path.read_text() if path.exists() else ""
    difference = difflib.unified_diff(kept.splitlines(), made.splitlines(), f"golden/{name}.xml", "built", lineterm="")
    assert kept == made, "\n".join(["read this, then run pytest --regenerate-golden:", *difference])


def test_no_golden_without_a_guest() -> None:
    assert {path.stem for path in GOLDEN.glob("*")} == set(MATRIX)


@each_guest
def test_schema(name: str, schema: etree.RelaxNG) -> None:
    schema.assertValid(etree.fromstring(MATRIX[name].xml()))


@each_guest
def test_libvirt_takes_it_and_keeps_what_is_ours(name: str, driver: libvirt.virConnect) -> None:
    made = MATRIX[name].xml()
    domain = driver.defineXML(re.sub('^<domain type="[a-z]+"', '<domain type="test"', made))
    try:
        domain.create()
        kept = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        assert domain.UUIDString() == UID
        assert domain_xml.owned(kept)
        assert domain_xml.digest_of(kept) == domain_xml.digest_of(made)
        assert serials(kept) == serials(made)
    finally:
        domain.destroy()
        domain.undefine()


def serials(xml: str) -> list[str]:
    """Those of all disks, in order of name, which is the order that libvirt puts them in."""
    return sorted(str(text) for text in etree.fromstring(xml).xpath("./devices/disk/serial/text()"))


# --- nothing without an example ------------------------------------------------------------------------------------


def test_every_element_and_attribute_is_exercised() -> None:
    exercised = {pair for guest in MATRIX.values() for pair in said(guest)}
    assert set(written_in_code()) - exercised == set()


def test_every_part_is_exercised() -> None:
    inputs = [guest.inputs() for guest in MATRIX.values()]
    for part in (*DOMAIN_PARTS, *DEVICE_PARTS):
        assert any(list(part(each)) for each in inputs), part.__name__


def test_every_image_property_is_exercised() -> None:
    known = {
        node.value
        for path in CODE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and PROPERTY.fullmatch(node.value)
    }
    exercised = {key for guest in MATRIX.values() for key in guest.spec.image_properties}
    assert known
    assert known - exercised == set()


def said(guest: Guest) -> Iterator[tuple[str, str]]:
    """Each element of a guest's domain with each of its attributes, and with none."""
    for found in etree.fromstring(guest.xml()).iter():
        tag = str(found.tag).removeprefix(f"{{{NAMESPACE}}}")
        yield tag, ""
        yield from ((tag, str(attribute)) for attribute in found.attrib)


def written_in_code() -> Iterator[tuple[str, str]]:
    """The same of all calls in domain_xml that make an element of a fixed name."""
    for path in (CODE / "domain_xml").glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in {"element", "_ours"}:
                yield from pairs(call)


def pairs(call: ast.Call) -> Iterator[tuple[str, str]]:
    tag = call.args[0]
    if isinstance(tag, ast.Constant):
        yield str(tag.value), ""
        yield from ((str(tag.value), keyword.arg) for keyword in call.keywords if keyword.arg and keyword.arg != "text")
