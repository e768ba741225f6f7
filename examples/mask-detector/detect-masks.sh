#!/bin/sh
# A blurred portrait in, a verdict out (JSON). A toy detector: it compares the colour of the upper
# half of the face with the lower half. Put a real model in its place. Needs python3.
set -eu
exec python3 - "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR" <<'PYTHON'
import json
import pathlib
import sys

source, output = map(pathlib.Path, sys.argv[1:])
magic, width, height, depth, pixels = source.read_bytes().split(maxsplit=4)
width, height = int(width), int(height)


def colour(top, bottom):
    rows = range(int(height * top), int(height * bottom))
    columns = range(int(width * 0.4), int(width * 0.6))
    at = [3 * (y * width + x) for y in rows for x in columns]
    return [sum(pixels[i + channel] for i in at) / len(at) for channel in range(3)]


forehead, mouth = colour(0.25, 0.4), colour(0.6, 0.75)
distance = sum((a - b) ** 2 for a, b in zip(forehead, mouth)) ** 0.5
verdict = {"image": source.name, "mask": distance > 80, "distance": round(distance, 1)}
(output / f"{source.stem}.json").write_text(json.dumps(verdict))
print("mask" if verdict["mask"] else "no mask")
PYTHON
