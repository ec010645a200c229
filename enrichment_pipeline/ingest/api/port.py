"""The one port of several processes that speak HTTP.

On Linux each has a socket of its own, and the kernel deals the connections out (SO_REUSEPORT): from
one socket for all, the process that wakes first takes every connection that waits, and a client
keeps its connection. Elsewhere SO_REUSEPORT deals nothing out, so there they have one socket.
"""

import errno
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

BACKLOG = 4096
"""Connections that may wait for a process to accept them."""

_DEALS_OUT = sys.platform == "linux"


class Port:
    """The sockets of the port: each is for one address of the host.

    Raises:
        OSError: the port is in use, or cannot be listened on.
    """

    def __init__(self, host: str, port: int, processes: int) -> None:
        self._host, self._port = host, port
        # No other API may have the port, which SO_REUSEPORT would allow.
        first = _listening(self._open(deals_out=False))
        if _DEALS_OUT:
            _close(first)
            # Listening from now on, so that the port is ours while the processes start.
            each = [_listening(self._open(deals_out=True)) for _ in range(processes)]
        else:
            each = [first]
        self._waiting = dict(enumerate(each))

    @contextmanager
    def taken(self, number: int) -> Iterator[Sequence[socket.socket]]:
        """The sockets for the process of that number, to be passed on in the block."""
        if not _DEALS_OUT:
            yield self._waiting[0]
            return
        # The sockets of a process end with it, or connections would wait for its successor, whose
        # sockets begin to listen once it is ready.
        sockets = self._waiting.pop(number, None) or self._open(deals_out=True)
        try:
            yield sockets
        finally:
            _close(sockets)

    def close(self) -> None:
        """Close what no process has taken."""
        for sockets in self._waiting.values():
            _close(sockets)

    def _open(self, *, deals_out: bool) -> list[socket.socket]:
        addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        with ExitStack() as opened:
            sockets: list[socket.socket] = []
            absent: OSError | None = None
            for family, kind, protocol, _, address in addresses:
                try:
                    one = opened.enter_context(socket.socket(family, kind, protocol))
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    if deals_out:
                        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                    if family == socket.AF_INET6:
                        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    one.bind(address)
                except OSError as error:
                    # localhost may resolve to an IPv6 address although this machine has no IPv6.
                    if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                        raise
                    absent = error
                else:
                    sockets.append(one)
            if absent and not sockets:
                raise absent
            opened.pop_all()
            return sockets


def _listening(sockets: list[socket.socket]) -> list[socket.socket]:
    for one in sockets:
        one.listen(BACKLOG)
    return sockets


def _close(sockets: Sequence[socket.socket]) -> None:
    for one in sockets:
        one.close()
