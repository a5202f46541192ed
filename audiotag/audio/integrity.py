"""Damage in the containers of audio files that decoders do not report: truncation, lost pages, wrong headers.

libsndfile reads a truncated WAV or Ogg file without an error; the missing part would become silence.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Literal

Order = Literal["little", "big"]  # of bytes

UNKNOWN_SIZE = 0xFFFFFFFF  # of a WAV that was written to a pipe, and of one larger than 4 GB (RF64)
PLAIN_CODES = (1, 3, 6, 7)  # PCM, float, A-law, mu-law: sizes follow from channels and bits
EXTENSIBLE = 0xFFFE  # the code is in the first bytes of a GUID
OGG_HEADER = struct.Struct("<4sBBqIIIB")
OGG_LAST = 0x04  # the flag of a stream's last page
REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))  # the bits of each byte


def container_damage(path: str | Path) -> str | None:
    """Describe the damage in the container of a WAV, AIFF or Ogg file in a few words; None where there is none.

    Other files are left to their decoders. Of WAV and AIFF only the headers are read, of Ogg every page.

    Raises:
        OSError: If the file cannot be read.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(12)
        if start[:4] == b"OggS":
            file.seek(0)
            return _ogg_damage(file)
        if start[:4] in (b"RIFF", b"RIFX", b"RF64") and start[8:] == b"WAVE":
            order: Order = "big" if start[:4] == b"RIFX" else "little"
            length = int.from_bytes(start[4:8], order)
            return _wav_damage(file, size, order, min(size, length + 8) if length else size)
        if start[:4] == b"FORM" and start[8:] in (b"AIFF", b"AIFC"):
            return _aiff_damage(file, size)
    return None


def _wav_damage(file: BinaryIO, size: int, order: Order, riff_end: int) -> str | None:
    """`riff_end` is where the RIFF chunk ends; the file's end where its size is unknown or too large."""
    long_size = None
    block = 1
    while (head := _chunk(file, order)) is not None:
        name, length = head
        begin = file.tell()
        if name == b"ds64":
            long_size = int.from_bytes(file.read(16)[8:], "little")
        elif name == b"fmt ":
            block, damage = _format_damage(file.read(min(length, 40)), order)
            if damage:
                return damage
        elif name == b"data":
            if length == UNKNOWN_SIZE:
                if long_size is None:
                    return None  # its length is not written anywhere
                length = long_size
            if begin + length > size:
                return f"it is truncated: {(size - begin) // block} of {length // block} samples are there"
            end = begin + length
            return _tail_damage(file, order, end, riff_end if riff_end >= end else size)
        elif not _is_name(name):
            break
        file.seek(begin + length + (length & 1))
    return "it is truncated or damaged before its samples"


def _format_damage(data: bytes, order: Order) -> tuple[int, str | None]:
    """The bytes per sample of all channels, and a contradiction in the header of a WAV, if any."""
    if len(data) < 16:
        return 1, "its header is truncated"
    form = "<HHIIHH" if order == "little" else ">HHIIHH"
    code, channels, rate, byte_rate, block, bits = struct.unpack(form, data[:16])
    if code == EXTENSIBLE and len(data) >= 26:
        code = int.from_bytes(data[24:26], order)
    if code in PLAIN_CODES and (block != channels * -(-bits // 8) or byte_rate != rate * block):
        form = f"{channels} channels of {bits} bits at {rate} Hz"
        sizes = f"{block} bytes per sample, {byte_rate} per second"
        return max(block, 1), f"its header contradicts itself: {form}, yet {sizes}"
    return max(block, 1), None


def _tail_damage(file: BinaryIO, order: Order, end: int, riff_end: int) -> str | None:
    """Chunks or zeros must follow the samples; anything else means more samples than the header says."""
    if _are_chunks(file, order, end + (end & 1), riff_end) or _are_chunks(file, order, end, riff_end):
        return None
    file.seek(end)
    while tail := file.read(min(1 << 16, riff_end - file.tell())):
        if tail.strip(b"\0"):
            return f"its header is damaged: {riff_end - end} bytes after its samples belong to nothing"
    return None


def _are_chunks(file: BinaryIO, order: Order, begin: int, end: int) -> bool:
    while begin < end:
        file.seek(begin)
        head = _chunk(file, order)
        if head is None or not _is_name(head[0]) or begin + 8 + head[1] > end:
            return False
        begin += 8 + head[1] + (head[1] & 1)
    return True


def _chunk(file: BinaryIO, order: Order) -> tuple[bytes, int] | None:
    head = file.read(8)
    return (head[:4], int.from_bytes(head[4:], order)) if len(head) == 8 else None


def _is_name(name: bytes) -> bool:
    return all(32 <= byte < 127 for byte in name)


def _aiff_damage(file: BinaryIO, size: int) -> str | None:
    while (head := _chunk(file, "big")) is not None:
        begin = file.tell()
        if head[0] == b"SSND":
            return "it is truncated" if begin + head[1] > size else None
        file.seek(begin + head[1] + (head[1] & 1))
    return "it is truncated or damaged before its samples"


def _ogg_damage(file: BinaryIO) -> str | None:
    """Each page has a checksum and a number, and the last one of the stream a flag."""
    serial, number, ended = None, 0, False
    while (header := file.read(OGG_HEADER.size)).startswith(b"OggS") or not ended:
        if len(header) < OGG_HEADER.size:
            return "it is truncated: its last page is missing"
        name, version, flags, _, stream, count, checksum, segments = OGG_HEADER.unpack(header)
        table = file.read(segments)
        page = header[:22] + bytes(4) + header[26:] + table + file.read(sum(table))
        if len(page) < len(header) + segments + sum(table):
            return "it is truncated within a page"
        if name != b"OggS" or version != 0 or _ogg_checksum(page) != checksum:
            return f"it is damaged: the checksum of page {number} is wrong"
        if serial is None:
            serial = stream
        if stream != serial or ended:
            return "it holds several streams: keep one"
        if count != number:
            return f"it is damaged: page {number} is missing"
        number, ended = number + 1, bool(flags & OGG_LAST)
    return None


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 with the most significant bit first, from zlib's, which has it last (RFC 3533)."""
    value = zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{value:032b}"[::-1], 2)
