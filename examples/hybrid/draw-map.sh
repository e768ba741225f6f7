#!/bin/sh
# One region's energies in (TSV), a map of them out (SVG): area is energy. Needs awk.
set -eu
region=$(basename "$INPUT_FILE_PATH" .tsv)
awk -F '\t' -v region="$region" -v source="$SOURCE" '
  function root(x,  r, i) {  # the awk of small images has no sqrt
    r = x / 2 + 1
    for (i = 0; i < 20; i++) r = (r + x / r) / 2
    return r
  }
  BEGIN {
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 410\" font-family=\"sans-serif\">"
    print "<rect width=\"720\" height=\"410\" fill=\"#f4f7f9\"/>"
    for (line = 0; line <= 12; line++)
      printf "<path d=\"M%d 0V360\" stroke=\"#d8e0e6\"/>\n", line * 60
    for (line = 0; line <= 6; line++)
      printf "<path d=\"M0 %dH720\" stroke=\"#d8e0e6\"/>\n", line * 60
  }
  $1 == "all" { total = $5; next }
  {
    # The Pacific in the middle: all great earthquakes are around it.
    x = ($4 < 0 ? $4 + 360 : $4) * 2
    y = (90 - $3) * 2
    printf "<circle cx=\"%d\" cy=\"%d\" r=\"%.1f\" fill=\"#c0392b\" fill-opacity=\"0.45\">", x, y, root($5) / 6 + 2
    printf "<title>%s %s, magnitude %s</title></circle>\n", $1, $6, $2
  }
  END {
    printf "<text x=\"16\" y=\"392\" font-size=\"18\">%s: %.1f EJ</text>\n", region, total / 1000
    printf "<text x=\"704\" y=\"392\" font-size=\"12\" text-anchor=\"end\">%s</text>\n", source
    print "</svg>"
  }
' "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$region.svg"
echo "$region: drawn"
