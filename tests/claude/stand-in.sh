#!/bin/sh
# Stands in for Claude Code: plays the recording that STANDIN_RECORDING names. A line `> …` waits for one message of the
# agent, a line `< …` is said, with @PROMPT@ as the id of the prompt that came last. After the end it waits to be ended.
if [ "$1" = --version ]; then
  echo "2.1.332 (stand-in)"
  exit 0
fi
prompt=
hear() {
  IFS= read -r message || exit 0
  case "$message" in
    *'"subtype":"end_session"'*) exit 0 ;;
    *'"type":"user"'*)
      prompt=${message##*\"uuid\":\"}
      prompt=${prompt%%\"*}
      ;;
  esac
}
while IFS= read -r line <&3; do
  case "$line" in
    '> '*) hear ;;
    '< '*) printf '%s\n' "${line#< }" | sed "s/@PROMPT@/$prompt/g" ;;
  esac
done 3< "$STANDIN_RECORDING"
while :; do hear; done
