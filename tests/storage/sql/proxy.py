"""A server behind a proxy on this machine that can fall silent, as one does that was stopped or lost its network."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from sqlalchemy import make_url


class Proxy:
    """Passes on what a client and the server of `url` say; while it is silent it accepts and keeps everything."""

    def __init__(self, url: str) -> None:
        address = make_url(url)
        self._server = (address.host, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._speaks = Event()
        self._speaks.set()
        own = address.set(host="127.0.0.1", port=self._listener.getsockname()[1])
        self.url = own.render_as_string(hide_password=False)
        Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @contextmanager
    def silent(self) -> Generator[None]:
        """Pass on nothing inside the block."""
        self._speaks.clear()
        try:
            yield
        finally:
            self._speaks.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += client, server
                for source, target in ((client, server), (server, client)):
                    Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._speaks.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
