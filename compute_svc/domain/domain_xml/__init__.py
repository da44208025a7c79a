"""The domain as libvirt is told: one small file per element, `build` is the table of contents."""

from compute_svc.domain.domain_xml.build import build
from compute_svc.domain.domain_xml.identity import domain_name
from compute_svc.domain.domain_xml.metadata import digest_of, owned

__all__ = ["build", "digest_of", "domain_name", "owned"]
