#!/bin/sh
# An image (binary PPM) in, the same image in coarse blocks out. Needs python3.
set -eu
exec python3 - "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR" <<'PYTHON'
import pathlib
import sys

BLOCK = 8
source, output = map(pathlib.Path, sys.argv[1:])
magic, width, height, depth, pixels = source.read_bytes().split(maxsplit=4)
if magic != b"P6" or depth != b"255":
    sys.exit(f"{source.name}: not a binary PPM image with 8 bits a channel")
width, height = int(width), int(height)
blurred = bytearray(pixels)
for top in range(0, height, BLOCK):
    for left in range(0, width, BLOCK):
        block = [
            3 * (y * width + x)
            for y in range(top, min(top + BLOCK, height))
            for x in range(left, min(left + BLOCK, width))
        ]
        for channel in range(3):
            mean = sum(pixels[at + channel] for at in block) // len(block)
            for at in block:
                blurred[at + channel] = mean
(output / source.name).write_bytes(b"P6\n%d %d\n255\n" % (width, height) + blurred)
PYTHON
