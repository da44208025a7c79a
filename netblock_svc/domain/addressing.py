"""Which addresses of a range are handed out, as arithmetic.

A pool numbers its addresses from 0: "the next free address" becomes a question about integers, which a database answers
with an index, however large the range.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

# Slots are signed 64-bit integers in the database. Addresses past this one are given only to those who ask for them.
MAX_SLOTS = 2**62

# QEMU's user-mode network hands its guest the 15th address of the range it is given, answers DHCP from the 2nd and DNS
# from the 3rd; 27 is the longest prefix that holds all three.
SLICE_PREFIX = 27
SLICE_SIZE = 2 ** (32 - SLICE_PREFIX)
SLICE_GATEWAY, SLICE_DNS, SLICE_GUEST = 2, 3, 15


@dataclass(frozen=True, kw_only=True)
class Pool:
    """`size` addresses from `first`, `step` apart, without `hole`."""

    first: IPAddress
    size: int
    step: int = 1
    hole: IPAddress | None = None

    @property
    def slots(self) -> int:
        """How many addresses it hands out by itself."""
        return min(self.size - (self._hole_at is not None), MAX_SLOTS)

    def address(self, slot: int) -> IPAddress:
        """The address of a slot."""
        if self._hole_at is not None and slot >= self._hole_at:
            slot += 1
        return self.first + slot * self.step

    def slot(self, address: IPAddress) -> int | None:
        """The slot of an address, None for one that is not the pool's. It may lie past `slots`."""
        position = self._position(address)
        if position is None or position == self._hole_at:
            return None
        return position - 1 if self._hole_at is not None and position > self._hole_at else position

    @property
    def _hole_at(self) -> int | None:
        return None if self.hole is None else self._position(self.hole)

    def _position(self, address: IPAddress) -> int | None:
        if address.version != self.first.version:
            return None
        position, rest = divmod(int(address) - int(self.first), self.step)
        return position if not rest and 0 <= position < self.size else None


def pool_between(first: IPAddress, last: IPAddress, hole: IPAddress | None) -> Pool:
    """All addresses from `first` to `last`, without `hole`."""
    return Pool(first=first, size=int(last) - int(first) + 1, hole=hole)


def host_range(cidr: IPNetwork) -> tuple[IPAddress, IPAddress]:
    """The first and the last address that a host may have (RFC 950, RFC 3021; RFC 4291 §2.6.1, RFC 6164)."""
    first, last = cidr[0], cidr[-1]
    if cidr.prefixlen >= cidr.max_prefixlen - 1:
        return first, last
    return first + 1, last - 1 if cidr.version == 4 else last


def slice_of(address: IPv4Address) -> IPv4Network:
    """The /27 that an address lies in."""
    return IPv4Network((int(address) & -SLICE_SIZE, SLICE_PREFIX))


def slice_pool(first: IPv4Address, last: IPv4Address) -> Pool:
    """The guests' addresses of all /27s, as far as they lie between two addresses."""
    low = int(first) + (SLICE_GUEST - int(first)) % SLICE_SIZE
    size = max(0, (int(last) - low) // SLICE_SIZE + 1)
    return Pool(first=IPv4Address(low) if size else first, size=size, step=SLICE_SIZE)
