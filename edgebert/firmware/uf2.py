"""UF2: firmware as a file that boards take by being copied onto their drive.

Blocks of 512 bytes, each with 256 bytes of the image, their address and how many blocks there are:
https://github.com/microsoft/uf2.
"""

from __future__ import annotations

import struct

from edgebert.errors import EdgebertError

BLOCK = 512
_PAYLOAD = 256
_HEADER = struct.Struct("<8I")  # magic, magic, flags, address, size, number, count, family
_MAGIC = (0x0A324655, 0x9E5D5157)
_MAGIC_END = struct.pack("<I", 0x0AB16F30)
_HAS_FAMILY = 0x2000


def uf2_bytes(image: bytes, address: int, family: int) -> bytes:
    """An image for ``address``, filled up with zeros to whole blocks, as a UF2 file."""
    count = -(-len(image) // _PAYLOAD)
    blocks = []
    for i in range(count):
        start = i * _PAYLOAD
        header = _HEADER.pack(*_MAGIC, _HAS_FAMILY, address + start, _PAYLOAD, i, count, family)
        data = image[start : start + _PAYLOAD]
        blocks.append((header + data).ljust(BLOCK - len(_MAGIC_END), b"\0") + _MAGIC_END)
    return b"".join(blocks)


def read_uf2(file: bytes) -> tuple[bytes, int, int]:
    """The image, its address and family; EdgebertError if it is not as :func:`uf2_bytes` writes.

    The image ends with the zeros that filled up its last block.
    """
    image = b""
    first = _HEADER.unpack_from(file.ljust(_HEADER.size, b"\0"))
    address, family = first[3], first[7]
    for i in range(0, max(len(file), BLOCK), BLOCK):
        block = file[i : i + BLOCK]
        expected = (*_MAGIC, _HAS_FAMILY, address + len(image), _PAYLOAD, i // BLOCK)
        header = (*expected, len(file) // BLOCK, family)
        if block[: _HEADER.size] != _HEADER.pack(*header) or block[-4:] != _MAGIC_END:
            raise EdgebertError(f"not a UF2 file, or damaged, in block {i // BLOCK}")
        image += block[_HEADER.size : _HEADER.size + _PAYLOAD]
    return image, address, family
