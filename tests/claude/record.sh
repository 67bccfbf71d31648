#!/usr/bin/env bash
# Records what Claude Code says, for the stand-in: set CLAUDE_BIN to this script, CLAUDE_RECORDED to the real program and
# RECORDING to a file. Ids of prompts become @PROMPT@, and paths of this machine /workspace.
set -euo pipefail
[ "${1:-}" = --version ] && exec "$CLAUDE_RECORDED" --version
here=$PWD
clean() { sed -u -E -e "s#$here#/workspace/repo#g" -e 's/00000000-0000-4000-8000-[0-9]{12}/@PROMPT@/g' -e "s/^/$1 /"; }
tee >(clean '>' >> "$RECORDING") | "$CLAUDE_RECORDED" "$@" | tee >(clean '<' >> "$RECORDING")
