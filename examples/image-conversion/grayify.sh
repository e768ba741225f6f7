#!/bin/sh
# A colour image (binary PPM) in, the same image in grey (PNG) out. Needs python3.
set -eu
exec python3 - "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR" <<'PYTHON'
import pathlib
import struct
import sys
import zlib

source, output = map(pathlib.Path, sys.argv[1:])
magic, width, height, depth, pixels = source.read_bytes().split(maxsplit=4)
if magic != b"P6" or depth != b"255":
    sys.exit(f"{source.name}: not a binary PPM image with 8 bits a channel")
width, height = int(width), int(height)
if len(pixels) < 3 * width * height:
    sys.exit(f"{source.name}: the image is cut off")
rows = b"".join(
    b"\0"
    + bytes(
        (299 * pixels[i] + 587 * pixels[i + 1] + 114 * pixels[i + 2]) // 1000
        for i in range(3 * width * y, 3 * width * (y + 1), 3)
    )
    for y in range(height)
)


def chunk(kind, data):
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
png = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
(output / f"{source.stem}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png)
print(f"{source.name}: {width} x {height}")
PYTHON
