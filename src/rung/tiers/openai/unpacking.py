"""Bodies that an endpoint compresses although it was asked not to."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

import httpx2

from rung.errors import TierError
from rung.tiers.openai.endpoint import Endpoint

UNPACKED = frozenset({"gzip", "x-gzip", "deflate"})
"""Encodings that the standard library can undo."""

_STEP = 65_536
"""Bytes that are unpacked at once. They may come from as little as a thousandth of that."""
_ANY = zlib.MAX_WBITS | 32
"""Makes zlib find out whether the header is gzip's or its own."""


class Unpacked(httpx2.AsyncByteStream):
    """A body without its compression, as far as it has come.

    Args:
        inner: the compressed body.
        limit: most bytes that are unpacked of it.
        endpoint: its sender, for errors.
        whole: whether it has to be complete. The body of a refusal needn't be.
    """

    def __init__(self, inner: httpx2.AsyncByteStream, limit: int, endpoint: Endpoint, *, whole: bool) -> None:
        self._inner = inner
        self._left = limit
        self._endpoint = endpoint
        self._whole = whole
        self._unpacker = zlib.decompressobj(_ANY)
        self._begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for packed in self._inner:
            for part in self._unpack(packed):
                self._left -= len(part)
                if self._left < 0:
                    raise TierError(f"{self._endpoint} sent more than max_answer_bytes", hint="raise max_answer_bytes")
                yield part
        if self._whole and self._begun and not self._unpacker.eof:
            raise httpx2.ReadError("the compressed body is not complete")

    def _unpack(self, packed: bytes) -> Iterator[bytes]:
        try:
            while packed:
                if self._unpacker.eof:  # several members in a row are one body
                    self._unpacker = zlib.decompressobj(_ANY)
                self._begun = True
                yield self._unpacker.decompress(packed, _STEP)
                packed = self._unpacker.unconsumed_tail or self._unpacker.unused_data
        except zlib.error:
            if self._whole:
                raise TierError(f"{self._endpoint} sent a compressed answer that can't be unpacked") from None

    async def aclose(self) -> None:
        """Close the body beneath."""
        await self._inner.aclose()
