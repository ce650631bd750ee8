"""This process's connection to a Ray cluster, made once and kept until the process ends."""

from __future__ import annotations

import logging
import socket
from typing import Any

from candidates.errors import InputError, RunError

START = "local"  # a cluster of this machine, for this search alone


def connected(address: str) -> Any:
    """The module `ray`, connected to the cluster at `address`, or to the one it is connected to already.

    `address` is HOST:PORT, `auto` for the cluster that this machine is part of, or `local` for one of our
    own. RunError in one line where it is not there.
    """
    try:
        import ray
    except ImportError:
        raise InputError("--ray needs Ray; install it by pip install 'mobile-nas[cluster]'") from None
    if not ray.is_initialized():
        _check_answers(address)
        try:
            ray.init(
                address=None if address == START else address,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RunError(f"the Ray cluster {address} cannot be reached: {words}") from None
    # A dead node's last words would go to standard output, which is for a command's own; Ray's debugger keeps
    # them back in the same way.
    ray._private.worker._worker_logs_enabled = False
    return ray


def _check_answers(address: str) -> None:
    """Ray itself tries for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        if address not in ("auto", START):
            raise InputError(f"--ray is {address!r}; expected HOST:PORT, auto or {START}")
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise RunError(f"the Ray cluster {address} cannot be reached: {error}") from None
