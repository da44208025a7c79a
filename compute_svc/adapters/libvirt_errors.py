"""libvirtError to our vocabulary, by code and never by text (api-conventions, section 4.3)."""

from __future__ import annotations

import errno

import libvirt

from svckit import errors

_AWAY = frozenset(
    {
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_GNUTLS_ERROR,
    }
)
_BY_CODE: dict[int, tuple[type[errors.ProtostarError], str]] = {
    libvirt.VIR_ERR_NO_DOMAIN: (errors.NotFound, "DOMAIN_NOT_FOUND"),
    libvirt.VIR_ERR_DOM_EXIST: (errors.AlreadyExists, "DOMAIN_ALREADY_EXISTS"),
    libvirt.VIR_ERR_OPERATION_INVALID: (errors.FailedPrecondition, "DOMAIN_INVALID_STATE"),
    libvirt.VIR_ERR_OPERATION_DENIED: (errors.FailedPrecondition, "LIBVIRT_DENIED"),
    libvirt.VIR_ERR_ACCESS_DENIED: (errors.FailedPrecondition, "LIBVIRT_DENIED"),
    libvirt.VIR_ERR_AUTH_FAILED: (errors.FailedPrecondition, "LIBVIRT_DENIED"),
    libvirt.VIR_ERR_OPERATION_TIMEOUT: (errors.DeadlineExceeded, "LIBVIRT_TIMEOUT"),
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE: (errors.Unavailable, "GUEST_AGENT_UNRESPONSIVE"),
    libvirt.VIR_ERR_RESOURCE_BUSY: (errors.ResourceExhausted, "LIBVIRT_BUSY"),
    libvirt.VIR_ERR_NO_MEMORY: (errors.ResourceExhausted, "NO_MEMORY"),
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: (errors.FailedPrecondition, "UNSUPPORTED_BY_HOST"),
    libvirt.VIR_ERR_NO_SUPPORT: (errors.FailedPrecondition, "UNSUPPORTED_BY_HOST"),
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: (errors.FailedPrecondition, "UNSUPPORTED_BY_HOST"),
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: (errors.FailedPrecondition, "UNSUPPORTED_BY_HOST"),
    libvirt.VIR_ERR_NO_NETWORK: (errors.FailedPrecondition, "HOST_NETWORK_MISSING"),
    libvirt.VIR_ERR_XML_ERROR: (errors.Internal, "DOMAIN_XML_REFUSED"),
    libvirt.VIR_ERR_XML_DETAIL: (errors.Internal, "DOMAIN_XML_REFUSED"),
    libvirt.VIR_ERR_XML_INVALID_SCHEMA: (errors.Internal, "DOMAIN_XML_REFUSED"),
}


def translate(error: libvirt.libvirtError, call: str) -> errors.ProtostarError:
    """What a failed call means; metadata has libvirt's code, and the message libvirt's words."""
    code = error.get_error_code()
    text = error.get_error_message() or str(error)
    kind, reason = _kind(error, code)
    return kind(f"libvirt {call}: {text}", reason=reason, metadata={"libvirt_code": str(code), "libvirt_call": call})


def _kind(error: libvirt.libvirtError, code: int | None) -> tuple[type[errors.ProtostarError], str]:
    if code is None or code in _AWAY or _broken_socket(error, code):
        return errors.Unavailable, "LIBVIRT_UNAVAILABLE"
    if code == libvirt.VIR_ERR_SYSTEM_ERROR and error.get_int1() in (errno.ENOSPC, errno.EDQUOT):
        return errors.ResourceExhausted, "NO_SPACE"
    return _BY_CODE.get(code, (errors.Internal, "LIBVIRT_FAILED"))


def _broken_socket(error: libvirt.libvirtError, code: int) -> bool:
    """A daemon that died in the middle of a call is told as a system error, or an internal one, of the RPC layer."""
    return error.get_error_domain() in (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE) and code in (
        libvirt.VIR_ERR_SYSTEM_ERROR,
        libvirt.VIR_ERR_INTERNAL_ERROR,
    )
