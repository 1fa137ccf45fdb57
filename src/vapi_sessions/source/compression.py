"""A body that may be compressed, decoded as it comes, and never more of it than asked for. Pure.

A few megabytes of gzip can stand for gigabytes of zeros, and several encodings one upon the other for as much as there is: HTTP
libraries decode whatever a server names. So we offer gzip alone, and decode no more at a time than there is room for.
"""

from __future__ import annotations

import io
import zlib
from typing import Final

#: The request's `Accept-Encoding`.
OFFERED: Final = "gzip"
#: `deflate` is what servers send unasked; browsers take it with and without its header, and so do we.
_KNOWN: Final = ("", "identity", "gzip", "x-gzip", "deflate")
#: gzip or zlib, as the header says.
_EITHER: Final = zlib.MAX_WBITS | 32
_PIECE: Final = 1 << 20


class TooLargeError(Exception):
    """More than was asked for. Never leaves the client."""


class EncodingError(Exception):
    """The body is not what its encoding says. Never leaves `connection`."""


class Decoder:
    """Takes the pieces of one body. At most `most` bytes, on the wire and decoded.

    Raises EncodingError for an encoding that was not offered, several included.
    """

    def __init__(self, encoding: str, most: int) -> None:
        name = encoding.strip().lower()
        if name not in _KNOWN:
            raise EncodingError("an encoding that was not offered")
        self._compressed = name not in ("", "identity")
        self._inflate = zlib.decompressobj(_EITHER)
        self._raw_deflate = name == "deflate"  # as long as nothing was decoded
        self._most = most
        self._taken = 0
        self._content = io.BytesIO()

    def feed(self, piece: bytes) -> None:
        """Take the next piece. Raises TooLargeError as soon as it is too much, and EncodingError."""
        self._taken += len(piece)
        if not self._compressed:
            self._keep(piece)
            return
        if self._taken > self._most:
            raise TooLargeError
        try:
            self._decode(piece)
        except zlib.error as error:
            raise EncodingError(f"broken compression ({error})") from None

    def finish(self) -> bytes:
        """The whole. Raises EncodingError if the compressed data ends in the middle."""
        if self._compressed and self._taken and not self._inflate.eof:
            self._keep(self._inflate.flush())  # a few bytes that found no room in the last piece
            if not self._inflate.eof:
                raise EncodingError("compressed data without its end")
        return self._content.getvalue()

    def drop(self) -> None:
        """Let go of what there is so far."""
        self._content = io.BytesIO()

    @property
    def beginning(self) -> bytes:
        """What there is so far."""
        return self._content.getvalue()

    def _decode(self, piece: bytes) -> None:
        left = piece
        while left:
            if self._inflate.eof:  # gzip may come in several members
                self._inflate = zlib.decompressobj(_EITHER)
            try:
                decoded = self._inflate.decompress(left, _PIECE)
            except zlib.error:
                if not self._raw_deflate:
                    raise
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
                decoded = self._inflate.decompress(left, _PIECE)
            self._raw_deflate = False
            self._keep(decoded)
            left = self._inflate.unconsumed_tail or self._inflate.unused_data

    def _keep(self, decoded: bytes) -> None:
        room = self._most - self._content.tell()
        self._content.write(decoded[:room] if len(decoded) > room else decoded)
        if len(decoded) > room:
            raise TooLargeError
