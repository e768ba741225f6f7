#!/bin/sh
# One region's earthquakes in (CSV), the energy of each and of all out (TSV, 10^15 J). Needs awk.
# Gutenberg and Richter: the energy in joules is 10^(1.5 magnitude + 4.8).
set -eu
region=$(basename "$INPUT_FILE_PATH" .csv)
awk -F, -v OFS='\t' '
  NR == 1 { next }
  {
    energy = exp((1.5 * $2 + 4.8) * log(10)) / 1e15
    total += energy
    print substr($1, 1, 4), $2, $3, $4, sprintf("%.0f", energy), $6
  }
  END { print "all", "", "", "", sprintf("%.0f", total), "" }
' "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$region.tsv"
echo "$region: $(tail -n 1 "$TMP_OUTPUT_DIR/$region.tsv" | cut -f 5) PJ"
