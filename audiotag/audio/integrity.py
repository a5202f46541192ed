"""What a file's container tells of itself: its form, and whether the file is cut off or damaged.

Decoders read a file that is cut off without an error; the missing part would become silence. So the sizes that WAV,
AIFF, AVI, MP4, Matroska and MP3 files announce are compared with what is there, and of Ogg every page is checked.
Samples are not decoded.
"""

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal

Order = Literal["little", "big"]  # of bytes

# of a WAV that was written to a pipe: 0xFFFFFFFF (ffmpeg; with RF64 too), 0x7FFFF000 (sox), 0x80000000 (arecord), ...
UNKNOWN_SIZES = (range(0x7FFF0000, 0x80000001), range(0xFFFF0000, 0x100000000))
PLAIN_CODES = (1, 3, 6, 7)  # PCM, float, A-law, mu-law: sizes follow from channels and bits
ADPCM_CODES = (0x02, 0x11)  # of Microsoft and IMA, of 3 or 4 bits
CODED_CODES = (*ADPCM_CODES, 0x31, 0x50, 0x55, 0xFF, 0x1610)  # GSM, MP2, MP3, AAC
EXTENSIBLE = 0xFFFE  # the code is in the first bytes of a GUID
TAGS = (
    b"TAG",
    b"ID3",
    b"3DI",
    b"APETAGEX",
    b"LYRICS",
)  # titles and the like, before, between or behind the samples of a file
MPEG_FRAME = 1441  # bytes of the largest frame of an MP3
OGG_HEADER = struct.Struct("<4sBBqIIIB")
VORBIS = b"\x01vorbis"
NO_END = "no page is marked as the last one"
OGG_FIRST, OGG_LAST = 0x02, 0x04  # flags of a stream's first and last page
REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))  # the bits of each byte
EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675  # of Matroska


@dataclass(frozen=True)
class Container:
    """What a container tells of itself.

    Attributes:
        form: "WAV", "AIFF", "AVI", "OGG", "FLAC", "MP4" or "MATROSKA"; empty where the first bytes tell none of them.
        damage: Why the file cannot be used, in a few words; None where nothing speaks against it.
        doubt: What may be wrong with a file that can be used, in a few words.
        exact: Whether libsndfile reads it to the sample: plain samples, or Vorbis.
        links: Where the streams of an Ogg that lie one after another begin and end, in bytes; those without samples
            are left out.
    """

    form: str = ""
    damage: str | None = None
    doubt: str | None = None
    exact: bool = False
    links: tuple[tuple[int, int], ...] = ()


def examine_container(file: BinaryIO) -> Container:
    """Examine the container of an audio file, from its beginning; of all but Ogg only headers are read.

    Raises:
        OSError: If the file cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(12)
    file.seek(0)
    for applies, examine in _EXAMINERS:
        if applies(start):
            return examine(file, size)
    return Container(damage=_xing_damage(file, size))


def _examine_wav(file: BinaryIO, size: int) -> Container:
    order: Order = "big" if file.read(4) == b"RIFX" else "little"
    length = int.from_bytes(file.read(4), order)
    file.seek(12)
    riff_end = min(size, length + 8) if length and not _is_unknown(length) else size
    long_size, block, doubt, exact, damage = None, 1, None, False, None
    while (head := _chunk(file, order)) is not None:
        name, length = head
        begin = file.tell()
        if name == b"ds64":
            long_size = int.from_bytes(file.read(16)[8:], "little")
        elif name == b"fmt ":
            block, exact, damage, doubt = _examine_format(file.read(min(length, 40)), order)
        elif name == b"data":
            if length == 0xFFFFFFFF and long_size is not None:
                length = long_size
            if damage is None and not (_is_unknown(length) and begin + length > size):
                damage = _samples_damage(file, size, order, (begin, length, block), riff_end)
            return Container("WAV", damage, doubt, exact)
        elif not _is_name(name):
            break
        if damage is not None:
            break
        file.seek(begin + length + (length & 1))
    return Container("WAV", damage or "it is cut off or damaged before its samples")


def _is_unknown(size: int) -> bool:
    return any(size in sizes for sizes in UNKNOWN_SIZES)


def _examine_format(data: bytes, order: Order) -> tuple[int, bool, str | None, str | None]:
    """Bytes per sample of all channels, whether samples are plain, and what is wrong and doubtful in a WAV's header."""
    if len(data) < 16:
        return 1, True, "its header is cut off", None
    form = "<HHIIHH" if order == "little" else ">HHIIHH"
    code, channels, rate, byte_rate, block, bits = struct.unpack(form, data[:16])
    if code == EXTENSIBLE and len(data) >= 26:
        code = int.from_bytes(data[24:26], order)
    if code not in PLAIN_CODES:
        return 1, False, _coding_damage(code, bits), None
    said = f"{channels} channels of {bits} bits"
    if block != channels * -(-bits // 8):
        return max(block, 1), True, f"its header contradicts itself: {said}, yet {block} bytes per sample", None
    doubt = None
    if byte_rate not in (0, rate * block):  # decoders do not use it
        doubt = "the header's bytes per second contradict its rate"
    return max(block, 1), True, None, doubt


def _coding_damage(code: int, bits: int) -> str | None:
    """What is wrong with a coding that is not plain: decoders make noise of those that people do not have in WAV."""
    if code in ADPCM_CODES and bits not in (3, 4):
        return f"its header contradicts itself: ADPCM of {bits} bits"
    return None if code in CODED_CODES else f"its samples are in a coding that is not read in WAV (0x{code:04x})"


def _samples_damage(
    file: BinaryIO, size: int, order: Order, samples: tuple[int, int, int], riff_end: int
) -> str | None:
    """`samples`: where they begin, their bytes, and the bytes of each of them."""
    begin, length, block = samples
    if begin + length > size:
        unit = "samples" if block > 1 else "bytes"
        return f"it is cut off: {(size - begin) // block} of {length // block} {unit} are there"
    end = begin + length
    return _tail_damage(file, order, end, riff_end if riff_end >= end else size)


def _tail_damage(file: BinaryIO, order: Order, end: int, riff_end: int) -> str | None:
    """Chunks, tags or zeros must follow the samples; anything else means more samples than the header says."""
    if _are_chunks(file, order, end + (end & 1), riff_end) or _are_chunks(file, order, end, riff_end):
        return None
    file.seek(end)
    if file.read(9).startswith(TAGS):
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


def _examine_aiff(file: BinaryIO, size: int) -> Container:
    file.seek(12)
    while (head := _chunk(file, "big")) is not None:
        begin = file.tell()
        if head[0] == b"SSND":
            cut = begin + head[1] > size
            return Container("AIFF", "it is cut off within its samples" if cut else None, exact=True)
        file.seek(begin + head[1] + (head[1] & 1))
    return Container("AIFF", "it is cut off or damaged before its samples")


def _examine_avi(file: BinaryIO, size: int) -> Container:
    length = 8 + int.from_bytes(file.read(8)[4:], "little")
    return Container("AVI", _missing(size, length))


def _missing(there: int, announced: int) -> str | None:
    return f"it is cut off: {there} of {announced} bytes are there" if there < announced else None


def _examine_mp4(file: BinaryIO, size: int) -> Container:
    """Each box at the top level has a length; the one named `moov` is the index."""
    place, names = 0, set()
    while place + 8 <= size:
        file.seek(place)
        head = file.read(16)
        if head.startswith(TAGS):
            break
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        elif length == 0:  # to the end of the file
            length = size - place
        if length < 8 or not _is_name(name):
            break  # what follows the boxes, if they are all there
        if place + length > size:
            return Container("MP4", _missing(size, place + length))
        names.add(name)
        place += length
    return Container("MP4", None if b"moov" in names else "it is cut off or damaged: it has no index (`moov`)")


def _examine_matroska(file: BinaryIO, size: int) -> Container:
    """Each element has a length; those of the segment and its clusters are unknown where they were streamed."""
    place = 0
    while (head := _element(file, place)) is not None:
        name, begin, length = head
        if length is None and name not in (SEGMENT, CLUSTER):
            break
        if length is not None and begin + length > size:
            return Container("MATROSKA", _missing(size, begin + length))
        place = begin if length is None else begin + length
    return Container("MATROSKA")


def _element(file: BinaryIO, place: int) -> tuple[int, int, int | None] | None:
    """An element's name, where its content begins, and its length in bytes, None where that is unknown."""
    file.seek(place)
    head = file.read(12)
    if head.startswith(TAGS):
        return None
    width = 9 - head[0].bit_length() if head else 9
    if width > 4 or len(head) <= width or not head[width]:
        return None
    digits = 9 - head[width].bit_length()
    value = int.from_bytes(head[width : width + digits], "big") - (1 << 7 * digits)
    unknown = value == (1 << 7 * digits) - 1
    return int.from_bytes(head[:width], "big"), place + width + digits, None if unknown else value


def _examine_ogg(file: BinaryIO, size: int) -> Container:
    """Each page has a checksum and a number in its stream, and the last one of a stream a flag.

    Streams may lie side by side (sound and picture), or one after another (radio, joined files): there a first page
    comes after other ones, whether the streams before have ended or broken off.
    """
    expected: dict[int, int] = {}  # the number of the next page, of each stream that has not ended
    links: list[list[int]] = []  # begin, end, and the latest time of a page
    doubt, number, heading, codings = None, 0, True, set()
    while (header := file.read(OGG_HEADER.size)) and (header.startswith(b"OggS") or expected):
        if len(header) < OGG_HEADER.size:
            return Container("OGG", "it is cut off within a page")
        name, version, flags, time, stream, count, checksum, segments = OGG_HEADER.unpack(header)
        table = file.read(segments)
        page = header[:22] + bytes(4) + header[26:] + table + file.read(sum(table))
        if len(page) < len(header) + segments + sum(table):
            return Container("OGG", "it is cut off within a page")
        if name != b"OggS" or version != 0 or _ogg_checksum(page) != checksum:
            return Container("OGG", f"it is damaged: the checksum of page {number} is wrong")
        first = bool(flags & OGG_FIRST)
        if first and not heading:
            doubt, expected = NO_END if expected else doubt, {}
        if first and (not heading or not links):
            links.append([file.tell() - len(page), 0, 0])
        heading = first
        if first and stream not in expected:
            expected[stream] = count
            codings.add(page[len(header) + segments :][:7])
        if count != expected.get(stream):
            return Container("OGG", f"it is damaged: before page {number} a page is missing")
        expected[stream] = count + 1
        if flags & OGG_LAST:
            del expected[stream]
        links[-1][1:] = file.tell(), max(links[-1][2], time)
        number += 1
    sounding = tuple((begin, end) for begin, end, latest in links if latest > 0)
    several = len(links) > 1
    exact = codings == {VORBIS} and not several
    return Container("OGG", None, NO_END if expected else doubt, exact, sounding if several else ())


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 with the most significant bit first, from zlib's, which has it last (RFC 3533)."""
    value = zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{value:032b}"[::-1], 2)


def _xing_damage(file: BinaryIO, size: int) -> str | None:
    """The first frame of most MP3s says how many bytes follow (Xing's or LAME's header); a decoder may not use it."""
    start = 0
    while (head := file.read(10)).startswith(b"ID3"):
        start += 10 + sum((byte & 0x7F) << 7 * (3 - place) for place, byte in enumerate(head[6:10]))
        file.seek(start)
    frame = head + file.read(190)
    place = next((place for tag in (b"Xing", b"Info") if (place := frame.find(tag, 4, 44)) > 0), None)
    if place is None or frame[0] != 0xFF or frame[1] < 0xE0:
        return None
    flags = int.from_bytes(frame[place + 4 : place + 8], "big")
    field = place + 8 + 4 * (flags & 1)
    announced = int.from_bytes(frame[field : field + 4], "big") if flags & 2 else 0
    with_tag = min(start, 2 * MPEG_FRAME)  # some programs count the tag before the first frame
    return _missing(size - start, announced) if size - start < announced - with_tag else None


Examine = Callable[[BinaryIO, int], Container]
_EXAMINERS: tuple[tuple[Callable[[bytes], bool], Examine], ...] = (
    (lambda start: start[:4] in (b"RIFF", b"RIFX", b"RF64") and start[8:] == b"WAVE", _examine_wav),
    (lambda start: start[:4] == b"FORM" and start[8:] in (b"AIFF", b"AIFC"), _examine_aiff),
    (lambda start: start[:4] == b"RIFF" and start[8:] == b"AVI ", _examine_avi),
    (lambda start: start[:4] == b"OggS", _examine_ogg),
    (lambda start: start[:4] == b"fLaC", lambda file, size: Container("FLAC")),
    (lambda start: start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"), _examine_mp4),
    (lambda start: int.from_bytes(start[:4], "big") == EBML, _examine_matroska),
)
