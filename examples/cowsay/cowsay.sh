#!/bin/sh
# Says what the request says. With INPUT_TYPE=json the body is {"message": "..."}.
if [ "${INPUT_TYPE:-}" = json ]; then
  message=$(sed -n 's/.*"message"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$INPUT_FILE_PATH")
else
  message=$(cat "$INPUT_FILE_PATH")
fi
line=$(printf '%s' "${message:-moo}" | sed 's/./-/g')
printf ' .-%s-.\n | %s |\n `-%s-´\n' "$line" "${message:-moo}" "$line"
cat <<'COW'
     \    ^..^
      \  ( oo )_________
          (__)          )~
             ||-----w  |
             ||       ||
COW
