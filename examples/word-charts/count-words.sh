#!/bin/sh
# A text in, its words out: how often, a tab, which; the most frequent first.
set -eu
name=$(basename "$INPUT_FILE_PATH")
tr -cs '[:alpha:]' '\n' < "$INPUT_FILE_PATH" | tr '[:upper:]' '[:lower:]' | sed '/^$/d' \
  | sort | uniq -c | sort -k1,1nr -k2 | sed 's/^ *//; s/ /\t/' > "$TMP_OUTPUT_DIR/${name%.*}.tsv"
echo "$name: $(wc -l < "$TMP_OUTPUT_DIR/${name%.*}.tsv") different words"
