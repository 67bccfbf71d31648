#!/usr/bin/env bash
# Records what Claude Code says, for the stand-in: set CLAUDE_BIN to this script, CLAUDE_RECORDED to the real program and
# RECORDING to a file. Ids of prompts become @PROMPT@, and paths those of a pod.
set -euo pipefail
[ "${1:-}" = --version ] && exec "$CLAUDE_RECORDED" --version
root=${PWD%/workspace*}
clean() { sed -u -E -e "s#$root##g" -e 's/00000000-0000-4000-8000-[0-9]{12}/@PROMPT@/g' -e "s/^/$1 /"; }
tee >(clean '>' >> "$RECORDING") | "$CLAUDE_RECORDED" "$@" | tee >(clean '<' >> "$RECORDING")
