"""A port that speaks TLS for a server that does not: the embedded server is built without it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import trustme

TLS_HANDSHAKE: Final = b"\x16"


class Certificates:
    """An authority, with a certificate of a server at loopback and one of a client."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("client.example")
        self._ca, self._client = folder / "ca.pem", folder / "client.pem"
        authority.cert_pem.write_to_path(str(self._ca))
        client.private_key_and_cert_chain_pem.write_to_path(str(self._client))
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.configure_cert(self.context)
        authority.configure_trust(self.context)
        self.context.verify_mode = ssl.CERT_REQUIRED

    def options(self, **more: str) -> str:
        """What follows the `?` of an address for a client with its certificate."""
        pem = str(self._client)
        return urlencode({"ssl_ca_certs": str(self._ca), "ssl_certfile": pem, "ssl_keyfile": pem, **more})

    def options_without_certificate(self) -> str:
        return urlencode({"ssl_ca_certs": str(self._ca)})


class TlsFront:
    """Forwards to `upstream`, a port of loopback. Sentinels and nodes speak to it without TLS, clients with it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.upstream = 0
        self.encrypted = 0
        """Connections with TLS so far."""

    def serve(self) -> None:
        """Until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _forward(self, client: socket.socket) -> None:
        with suppress(OSError):
            if client.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE:
                client = self._context.wrap_socket(client, server_side=True)
                self.encrypted += 1
            with client, socket.create_connection(("127.0.0.1", self.upstream)) as server:
                threading.Thread(target=_pump, args=(server, client), daemon=True).start()
                _pump(client, server)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def tls_front(context: ssl.SSLContext) -> Iterator[TlsFront]:
    front = TlsFront(context)
    thread = threading.Thread(target=front.serve, daemon=True)
    thread.start()
    yield front
    front.close()
    thread.join(5)
