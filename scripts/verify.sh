#!/usr/bin/env bash
# Formatting, generated files and vet. Seconds when nothing changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

unformatted=$(git ls-files '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
  printf 'not gofmt-ed (make fmt):\n%s\n' "$unformatted"
  exit 1
fi

# Generated pages are committed, so that `go build` needs no generator. Compare
# by content and not by git, so that a tree with other changes can be verified.
if [ -n "$(git ls-files '*.templ')" ]; then
  templ() { go tool -modfile=tools.mod templ "$@"; }
  templ fmt -fail -log-level warn views || { echo 'templ files are not formatted (make fmt)'; exit 1; }
  before=$(git ls-files '*_templ.go' | xargs sha256sum)
  templ generate -path views -log-level warn
  after=$(git ls-files -co --exclude-standard '*_templ.go' | xargs sha256sum)
  if [ "$before" != "$after" ]; then
    echo 'generated pages were stale and have been regenerated (commit them):'
    diff <(echo "$before") <(echo "$after") | awk '/^>/ {print "  " $3}'
    exit 1
  fi
fi

go vet ./...
