#!/bin/sh
# One region's earthquakes in (CSV), the energy of each and of all out (TSV, 10^15 J). Needs awk.
# Gutenberg and Richter: 10^(1.5 magnitude + 4.8) joules, so 63.1 10^15 J at 8.0, and 1.41 times as
# much for each tenth more. A loop, because the awk of small images knows no exponents.
set -eu
region=$(basename "$INPUT_FILE_PATH" .csv)
awk -F, -v OFS='\t' '
  NR == 1 { next }
  {
    energy = 63.0957
    for (tenth = 80; tenth < 10 * $2 - 0.5; tenth++) energy *= 1.4125375
    total += energy
    print substr($1, 1, 4), $2, $3, $4, sprintf("%.0f", energy), $6
  }
  END { print "all", "", "", "", sprintf("%.0f", total), "" }
' "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$region.tsv"
echo "$region: $(tail -n 1 "$TMP_OUTPUT_DIR/$region.tsv" | cut -f 5) PJ"
