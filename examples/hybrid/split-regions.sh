#!/bin/sh
# One CSV file of earthquakes in, one CSV file per region out. Needs awk.
set -eu
awk -F, -v out="$TMP_OUTPUT_DIR/" '
  NR == 1 { header = $0; next }
  {
    file = out $5 ".csv"
    if (!($5 in quakes)) print header > file
    print > file
    quakes[$5]++
  }
  END { for (region in quakes) printf "%s: %d earthquakes\n", region, quakes[region] }
' "$INPUT_FILE_PATH"
