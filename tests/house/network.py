"""The wall around the test suite: it lets nobody out but to this very machine."""

from __future__ import annotations

import ipaddress
import sys
from typing import Any

_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_RESOLVING = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_LOCAL_NAMES = frozenset({"", "localhost"})

attempts: list[str] = []
"""What was refused since somebody last looked; also what the code under test swallowed."""


class NetworkBlocked(OSError):
    """A test tried to leave this machine."""


def is_local(host: object) -> bool:
    """Tell whether `host`, a name or an address, means this machine."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host is None or host in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _CONNECTING:
        address: Any = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # a Unix socket's address is a path
    elif event in _RESOLVING:
        host: Any = arguments[0]
    else:
        return
    if not is_local(host):
        attempts.append(f"{event} {host!r}")
        raise NetworkBlocked(f"tests may only reach this machine, but the code asked for {event} {host!r}")


def block() -> None:
    """Refuse, in every thread of this process and until it ends, all connections and names that are not local."""
    sys.addaudithook(_watch)
