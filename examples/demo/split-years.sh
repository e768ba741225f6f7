#!/bin/sh
# One CSV file in, one CSV file per year out. Needs awk.
set -eu
name=$(basename "$INPUT_FILE_PATH" .csv)
awk -F, -v out="$TMP_OUTPUT_DIR/$name" '
  NR == 1 { header = $0; next }
  {
    year = substr($1, 1, 4)
    file = out "-" year ".csv"
    if (!(year in days)) print header > file
    print > file
    days[year]++
  }
  END { for (year in days) printf "%s: %d days\n", year, days[year] }
' "$INPUT_FILE_PATH"
