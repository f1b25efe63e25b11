"""A proxy that speaks TLS in front of a service, with a certificate made for the test."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def make_certificate(folder: Path, name: str) -> Path:
    """A certificate for a host name or an IP address that signs itself, and its key, in one PEM
    file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    kind = "IP" if name[0].isdigit() else "DNS"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    command += ["-subj", "/CN=facepaint test", "-addext", f"subjectAltName={kind}:{name}"]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / f"{name}.pem"
    both.write_text(key.read_text() + certificate.read_text())
    return both


@contextmanager
def tls_proxy(port: int, certificate: Path) -> Iterator[int]:
    """The port of a proxy on 127.0.0.1 that forwards what it decrypts to ``port``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    sockets: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, context, port, sockets))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            # Closing it would not wake the thread.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for end in sockets:
                end.close()


def _serve(
    listener: socket.socket, context: ssl.SSLContext, port: int, sockets: list[socket.socket]
) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        try:
            outer = context.wrap_socket(client, server_side=True)
        except OSError:
            # The client refuses the certificate.
            client.close()
            continue
        inner = socket.create_connection(("127.0.0.1", port))
        sockets += [outer, inner]
        for source, target in ((outer, inner), (inner, outer)):
            threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
