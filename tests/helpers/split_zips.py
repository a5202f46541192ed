"""Split zip archives, as `zip -s` writes them, of any size of parts."""

import io
import struct
import zipfile

FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF
MEMBER = 46  # bytes of a member in the list, without name and extra fields
END = 22  # bytes of the end without a comment


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def split(archive: bytes, size: int, long: bool = False) -> list[bytes]:
    """Cut an archive into parts of a size, but for the last; with `long` ones, places stand in extra fields."""
    number, list_size, list_place = struct.unpack("<H2L", archive[-END + 10 : -2])
    body, members = b"PK\7\x08" + archive[:list_place], archive[list_place : list_place + list_size]
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    last, rewritten, at = len(parts) - 1, b"", 0
    while at < len(members):
        name_size, extra_size, comment_size = struct.unpack("<3H", members[at + 28 : at + 34])
        end = at + MEMBER + name_size + extra_size + comment_size
        member = bytearray(members[at:end])
        part, place = divmod(struct.unpack("<L", member[42:46])[0] + 4, size)
        extra = struct.pack("<2HQL", 1, 12, place, part) if long else b""
        struct.pack_into("<H", member, 30, extra_size + len(extra))
        struct.pack_into("<H", member, 34, FULL16 if long else part)
        struct.pack_into("<L", member, 42, FULL32 if long else place)
        rewritten += bytes(member) + extra
        at = end
    place, tail = len(parts[-1]), b""
    if long:
        tail = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, last, last, number, number, len(rewritten), place)
        tail += struct.pack("<4sLQL", b"PK\6\7", last, place + len(rewritten), last + 1)
        place = FULL32
    tail += struct.pack("<4s4H2LH", b"PK\5\6", last, last, number, number, len(rewritten), place, 0)
    return [*parts[:-1], parts[-1] + rewritten + tail]


def named(name: str, parts: list[bytes]) -> dict[str, bytes]:
    """The parts of an archive by their names: `a.z01`, `a.z02`, `a.zip`."""
    return {f"{name}.z{number:02}": part for number, part in enumerate(parts[:-1], start=1)} | {
        f"{name}.zip": parts[-1]
    }
