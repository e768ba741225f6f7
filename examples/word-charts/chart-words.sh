#!/bin/sh
# Counts of words in (TSV), a bar chart of the first $WORDS of them out (SVG).
set -eu
name=$(basename "$INPUT_FILE_PATH" .tsv)
out="$TMP_OUTPUT_DIR/$name.svg"
words=$(mktemp)
head -n "$WORDS" "$INPUT_FILE_PATH" > "$words"
most=$(head -n 1 "$words" | cut -f 1)
height=$(( $(wc -l < "$words") * 24 + 48 ))
{
  echo "<svg xmlns='http://www.w3.org/2000/svg' width='480' height='$height' font-family='sans-serif'>"
  echo "<rect width='480' height='$height' fill='white'/>"
  echo "<text x='16' y='26' font-size='16'>The words of $name</text>"
  y=40
  while read -r count word; do
    width=$(( count * 300 / most ))
    echo "<text x='100' y='$((y + 14))' font-size='13' text-anchor='end'>$word</text>"
    echo "<rect x='108' y='$y' width='$width' height='18' fill='steelblue'/>"
    echo "<text x='$((width + 114))' y='$((y + 14))' font-size='13'>$count</text>"
    y=$((y + 24))
  done < "$words"
  echo "</svg>"
} > "$out"
rm "$words"
echo "$name: drawn"
