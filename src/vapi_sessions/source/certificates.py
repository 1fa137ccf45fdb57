"""Which certificate authorities to trust, according to the environment."""

from __future__ import annotations

import functools
import os
import ssl

import httpx

from vapi_sessions.errors import ConfigurationError


def trusted() -> ssl.SSLContext:
    """The authorities that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, or those of certifi. Raises ConfigurationError."""
    return _trusted(*(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")))


@functools.cache
def _trusted(file: str | None, directory: str | None, key_log: str | None) -> ssl.SSLContext:
    """Httpx reads these variables itself. The result is cached because reading the authorities is slow."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # errors of TLS are OSErrors
        named = [("SSLKEYLOGFILE", key_log)] if key_log and error.filename == key_log else []
        named += [
            (name, value) for name, value in (("SSL_CERT_FILE", file), ("SSL_CERT_DIR", directory)) if value
        ]
        reason = (
            error.strerror
            if error.filename or not isinstance(error, ssl.SSLError)
            else "it contains no certificate"
        )
        if not named:
            raise ConfigurationError(
                f"The certificates of the package certifi cannot be read: {reason}.",
                "Reinstall it: make setup",
            ) from None
        name, value = named[0]
        purpose = (
            "a writable file" if name == "SSLKEYLOGFILE" else "certificates of authorities in PEM format"
        )
        raise ConfigurationError(
            f"{name} is {value}, which cannot be used: {reason}.", f"Set it to {purpose}, or unset {name}."
        ) from None


@functools.cache
def none_trusted() -> ssl.SSLContext:
    """For plain HTTP, which needs no authorities."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
