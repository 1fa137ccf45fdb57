"""Decompression of a body as it arrives, up to a limit. Pure.

A few megabytes of gzip can decode to gigabytes of zeros, and several nested encodings to far more. HTTP libraries decode
whatever encoding a server names. So we offer only gzip, and never decode more than still fits.
"""

from __future__ import annotations

import io
import zlib
from typing import Final

#: The request's `Accept-Encoding`.
OFFERED: Final = "gzip"
#: Servers also send `deflate` unasked. Browsers accept it with and without its zlib header, and so do we.
_KNOWN: Final = ("", "identity", "gzip", "x-gzip", "deflate")
#: gzip or zlib, detected from the header.
_EITHER: Final = zlib.MAX_WBITS | 32
#: Bytes decoded at once.
_CHUNK: Final = 1 << 20


class TooLargeError(Exception):
    """The body is larger than the limit. Never leaves the client."""


class EncodingError(Exception):
    """The body does not match its encoding. Never leaves `connection`."""


class Decoder:
    """Decodes one body of at most `most` bytes, count_rows both before and after decoding.

    Raises EncodingError for an encoding that was not offered, and for several nested ones.
    """

    def __init__(self, encoding: str, most: int) -> None:
        name = encoding.strip().lower()
        if name not in _KNOWN:
            raise EncodingError("an encoding that was not offered")
        self._compressed = name not in ("", "identity")
        self._inflate = zlib.decompressobj(_EITHER)
        self._raw_deflate = name == "deflate"  # until the first bytes are decoded
        self._most = most
        self._received = 0
        self._content = io.BytesIO()

    def feed(self, chunk: bytes) -> None:
        """Decode the next chunk. Raises TooLargeError as soon as the limit is exceeded, and EncodingError."""
        self._received += len(chunk)
        if not self._compressed:
            self._keep(chunk)
            return
        if self._received > self._most:
            raise TooLargeError
        try:
            self._decode(chunk)
        except zlib.error as error:
            raise EncodingError(f"broken compression ({error})") from None

    def finish(self) -> bytes:
        """The whole body. Raises EncodingError if the compressed data is incomplete."""
        if self._compressed and self._received and not self._inflate.eof:
            self._keep(self._inflate.flush())  # a few bytes may be left from the last chunk
            if not self._inflate.eof:
                raise EncodingError("incomplete compressed data")
        return self._content.getvalue()

    def drop(self) -> None:
        """Release what was decoded so far."""
        self._content = io.BytesIO()

    @property
    def beginning(self) -> bytes:
        """What was decoded so far."""
        return self._content.getvalue()

    def _decode(self, chunk: bytes) -> None:
        left = chunk
        while left:
            if self._inflate.eof:  # gzip data may consist of several members
                self._inflate = zlib.decompressobj(_EITHER)
            try:
                decoded = self._inflate.decompress(left, _CHUNK)
            except zlib.error:
                if not self._raw_deflate:
                    raise
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
                decoded = self._inflate.decompress(left, _CHUNK)
            self._raw_deflate = False
            self._keep(decoded)
            left = self._inflate.unconsumed_tail or self._inflate.unused_data

    def _keep(self, decoded: bytes) -> None:
        room = self._most - self._content.tell()
        self._content.write(decoded[:room] if len(decoded) > room else decoded)
        if len(decoded) > room:
            raise TooLargeError
