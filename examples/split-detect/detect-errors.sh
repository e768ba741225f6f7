#!/bin/sh
# One part of a log in, its lines that speak of errors out. Needs grep.
set -eu
name=$(basename "$INPUT_FILE_PATH" .part)
grep -n -i -E 'error|fail' "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$name.txt" || true
echo "$name: $(wc -l < "$TMP_OUTPUT_DIR/$name.txt") lines"
