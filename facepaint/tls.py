"""Certificates: checking a file of authorities, and naming what is wrong with a server's."""

import ssl
from collections.abc import Iterator
from pathlib import Path


def check_authorities(path: Path) -> None:
    """Raise `ValueError` unless a file contains certificates in PEM."""
    try:
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError as exc:
        raise ValueError("has no certificate in PEM format") from exc
    except OSError as exc:
        raise ValueError(f"cannot be read ({exc.strerror})") from exc


def tls_fault(fault: BaseException) -> str | None:
    """What is wrong with a server's certificate or its TLS, and what to set; else None.

    Args:
        fault: an error of a library; its causes are searched.
    """
    for exc in causes(fault):
        refused = _refused(exc)
        if refused:
            return (
                f"has a certificate that is refused ({refused.rstrip('.')}); FACEPAINT_CA_FILE "
                "names the file of its authority, and the URL must have the name in the certificate"
            )
        if isinstance(exc, ssl.SSLError):
            return f"does not speak TLS as expected ({exc.reason or type(exc).__name__})"
    return None


def _refused(exc: BaseException) -> str:
    """Why a certificate is refused; empty for another error."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc.verify_message
    # urllib3 compares the name itself, and has its own type for it.
    return str(exc) if type(exc).__name__ == "CertificateError" else ""


def causes(fault: BaseException) -> Iterator[BaseException]:
    """An error and all its causes, itself first."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [fault]
    while waiting:
        exc = waiting.pop()
        if exc is None or id(exc) in seen:
            continue
        seen.add(id(exc))
        yield exc
        # urllib3 keeps the cause of its last attempt in `reason`.
        reason = getattr(exc, "reason", None)
        waiting += [exc.__context__, exc.__cause__]
        waiting += [reason] if isinstance(reason, BaseException) else []
