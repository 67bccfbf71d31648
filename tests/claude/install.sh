#!/usr/bin/env bash
# Installs the versions of Claude Code that the tests drive, from npm into the cache: ~/.cache/claude-manager/claude-VERSION.
# Without arguments the two that the tests name; `install.sh latest` installs the newest, and prints how to test it.
# Safe to run twice: a version that is there is kept. The native program is installed, which needs no Node to run.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/claude-manager
versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=(2.1.332 2.1.197)

command -v npm > /dev/null || {
  echo "there is no npm here; install Node with npm first" >&2
  exit 1
}
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) platform=linux-x64 ;;
  Linux-aarch64) platform=linux-arm64 ;;
  Darwin-x86_64) platform=darwin-x64 ;;
  Darwin-arm64) platform=darwin-arm64 ;;
  *)
    echo "no Claude Code is published for $(uname -s) on $(uname -m)" >&2
    exit 1
    ;;
esac
# A libc of another kind has programs of its own.
if [ "$(uname -s)" = Linux ] && ls /lib/ld-musl-* > /dev/null 2>&1; then platform=$platform-musl; fi

mkdir -p "$cache"
for version in "${versions[@]}"; do
  package=@anthropic-ai/claude-code-$platform
  if [ "$version" = latest ]; then
    version=$(npm view @anthropic-ai/claude-code dist-tags.latest)
    echo "the newest is $version; test it with: CLAUDE_TEST_VERSIONS=$version cargo test --test it -- claude"
  fi
  place=$cache/claude-$version
  if [ -x "$place/claude" ]; then continue; fi
  # A half install is never taken for a whole one: it gets its name when it is complete.
  draft=$(mktemp -d "$cache/claude-$version.XXXXXX")
  trap 'rm -rf "$draft"' EXIT
  npm install --silent --no-audit --no-fund --no-save --ignore-scripts --force --prefix "$draft" "$package@$version"
  program=$draft/node_modules/$package/claude
  [ -f "$program" ] || {
    echo "$package@$version holds no program named claude" >&2
    exit 1
  }
  chmod 755 "$program"
  mkdir -p "$place"
  mv "$program" "$place/claude.new"
  mv "$place/claude.new" "$place/claude"
  rm -rf "$draft"
  trap - EXIT
  echo "Claude Code $version is installed in $place"
done
