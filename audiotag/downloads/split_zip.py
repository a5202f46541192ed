"""A zip archive in parts (`a.z01`, `a.z02`, `a.zip`) as one file, which `zipfile` reads.

In a split archive places count from the beginning of a part. Here the parts follow one another, and behind them stands
a second list of members, with places that count from the beginning of the whole.
Source: PKWARE, APPNOTE.TXT, sections 4.3.12 to 4.3.16, 4.4 and 4.5.3.
"""

import io
import struct
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO
from zipfile import BadZipFile

# of a member: signature, versions, flags, method, time, checksum, packed and plain size, lengths of name, extra fields
# and comment, part, attributes, place of the member in that part
MEMBER = struct.Struct("<4s2H2H2H3L3HHHLL")
END = struct.Struct("<4s4H2LH")  # signature, this part, the list's part, members here and in all, list's size and place
END64 = struct.Struct("<4sQ2H2L4Q")  # the same behind its own size and versions
LOCATOR = struct.Struct("<4sLQL")  # signature, part and place of END64, number of parts
EXTRA = struct.Struct("<2H")  # kind and size of an extra field
SIZES = 1  # kind of the extra field with what does not fit into 16 or 32 bits
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF  # in place of what stands in an extra field
LONGEST_END = END.size + FULL16  # with a comment


def join(parts: Sequence[BinaryIO]) -> BinaryIO:
    """Make one file of the parts of an archive, in order; the last has the list of members.

    Raises:
        BadZipFile: If the list is not there, or malformed.
    """
    sizes = [part.seek(0, io.SEEK_END) for part in parts]
    starts, total = list(accumulate(sizes[:-1], initial=0)), sum(sizes)
    try:
        number, size, part, place = _find_list(parts, sizes)
        whole = io.BufferedReader(_Joined(parts, sizes))
        whole.seek(starts[part] + place)
        members = _rewrite(whole.read(size), starts)
    except (struct.error, IndexError) as error:
        raise BadZipFile("a part is missing, or the list of members is malformed") from error
    if len(members) != number:
        raise BadZipFile(f"{number} members are announced, but {len(members)} are there")
    listed = b"".join(members)
    end64 = END64.pack(b"PK\6\6", END64.size - 12, 45, 45, 0, 0, number, number, len(listed), total)
    locator = LOCATOR.pack(b"PK\6\7", 0, total + len(listed), 1)
    end = END.pack(b"PK\5\6", 0, 0, FULL16, FULL16, FULL32, FULL32, 0)
    tail = listed + end64 + locator + end
    return io.BufferedReader(_Joined([*parts, io.BytesIO(tail)], [*sizes, len(tail)]))


def _find_list(parts: Sequence[BinaryIO], sizes: Sequence[int]) -> tuple[int, int, int, int]:
    """The number of members, and their list's size in bytes, part, and place in that part."""
    last = parts[-1]
    last.seek(max(0, sizes[-1] - LONGEST_END - LOCATOR.size))
    tail = last.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0:
        raise BadZipFile("the list of members is missing")
    _, _, part, _, number, size, place, _ = END.unpack_from(tail, at)
    if tail[max(0, at - LOCATOR.size) :].startswith(b"PK\6\7"):
        _, part64, place64, _ = LOCATOR.unpack_from(tail, at - LOCATOR.size)
        parts[part64].seek(place64)
        *_, part, _, number, size, place = END64.unpack(parts[part64].read(END64.size))
    return number, size, part, place


def _rewrite(members: bytes, starts: Sequence[int]) -> list[bytes]:
    """The list of members with places from the beginning of the whole."""
    rewritten, at = [], 0
    while members[at : at + 4] == b"PK\1\2":
        fields = list(MEMBER.unpack_from(members, at))
        name_size, extra_size, comment_size = fields[10:13]
        name_at = at + MEMBER.size
        extra_at = name_at + name_size
        comment_at = extra_at + extra_size
        extra = members[extra_at:comment_at]
        packed, plain, part, place = _read_places(fields, extra)
        sizes = struct.pack("<3Q", plain, packed, starts[part] + place)
        extra = EXTRA.pack(SIZES, len(sizes)) + sizes + b"".join(f for kind, f in _split_extra(extra) if kind != SIZES)
        fields[8:10], fields[11], fields[13], fields[16] = (FULL32, FULL32), len(extra), 0, FULL32
        at = comment_at + comment_size
        rewritten.append(MEMBER.pack(*fields) + members[name_at:extra_at] + extra + members[comment_at:at])
    return rewritten


def _read_places(fields: Sequence[int], extra: bytes) -> tuple[int, int, int, int]:
    """A member's packed and plain size, its part, and its place in that part."""
    packed, plain, part, place = fields[8], fields[9], fields[13], fields[16]
    long = io.BytesIO(b"".join(field[EXTRA.size :] for kind, field in _split_extra(extra) if kind == SIZES))
    if plain == FULL32:
        (plain,) = struct.unpack("<Q", long.read(8))
    if packed == FULL32:
        (packed,) = struct.unpack("<Q", long.read(8))
    if place == FULL32:
        (place,) = struct.unpack("<Q", long.read(8))
    if part == FULL16:
        (part,) = struct.unpack("<L", long.read(4))
    return packed, plain, part, place


def _split_extra(extra: bytes) -> list[tuple[int, bytes]]:
    """The extra fields of a member, as (kind, whole field)."""
    found, at = [], 0
    while at + EXTRA.size <= len(extra):
        kind, size = EXTRA.unpack_from(extra, at)
        found.append((kind, extra[at : at + EXTRA.size + size]))
        at += EXTRA.size + size
    return found


class _Joined(io.RawIOBase):
    """Files of known sizes, one after the other."""

    def __init__(self, files: Sequence[BinaryIO], sizes: Sequence[int]) -> None:
        self._files, self._ends, self._position = files, list(accumulate(sizes)), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1]}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        number = bisect_right(self._ends, self._position)
        if number == len(self._files):
            return 0
        file, start = self._files[number], self._ends[number - 1] if number else 0
        file.seek(self._position - start)
        block = file.read(min(len(buffer), self._ends[number] - self._position))
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)
