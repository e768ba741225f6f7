#!/bin/sh
# One log in, a part for every ten lines out. Needs awk.
set -eu
name=$(basename "$INPUT_FILE_PATH" .log)
awk -v out="$TMP_OUTPUT_DIR/$name" '{ printf "%s\n", $0 > (out sprintf("-%03d.part", (NR - 1) / 10)) }' "$INPUT_FILE_PATH"
