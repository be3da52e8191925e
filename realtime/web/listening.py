# SPDX-License-Identifier: MIT
"""The address that the page listens on: what may be listened on, and the socket."""

import errno
import os
import socket

from face.errors import SinkUnavailable, WrongUse

DEFAULT_PORT = 7860
BACKLOG = 1024  # connections that wait to be taken in; beyond it a client tries again after a second
SEND_BUFFER = 256 * 1024  # bytes the system may hold for one client: it bounds how far Motion JPEG can lag
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def check_host(host: str, *, allow_remote: bool) -> None:
    """Refuse to listen beyond this machine unless that was asked for; WrongUse says how."""
    if host in LOOPBACK or allow_remote:
        return
    raise WrongUse(
        f"host {host} can be reached from other machines, expected 127.0.0.1: the page shows your camera; "
        f"use --host 127.0.0.1, or add --allow-remote if you mean it"
    )


def check_address(host: str, port: int, *, allow_remote: bool) -> None:
    """WrongUse or SinkUnavailable where the page could not be served; opens nothing that stays."""
    check_host(host, allow_remote=allow_remote)
    listen(host, port).close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, here and now, so that a taken port is the caller's error and not a thread's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two programs share one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # clients inherit it
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _mendable(error, host, port) from error
    return listener


def _mendable(error: OSError, host: str, port: int) -> SinkUnavailable | WrongUse:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return WrongUse(f"host {host} is no address of this machine, expected one; use --host 127.0.0.1")
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        found = "taken by another program" if error.errno == errno.EADDRINUSE else "not allowed to this user"
        other = port + 1 if 1024 <= port < 65535 else DEFAULT_PORT
        return SinkUnavailable(f"port {port} on {host} is {found}, expected a free one; use --port {other}")
    return SinkUnavailable(f"cannot listen on {host} port {port} ({error.strerror}); try another --port")
