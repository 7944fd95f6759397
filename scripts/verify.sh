#!/usr/bin/env bash
# Formatting, generated files and vet. Seconds when nothing changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Not from git: an archive of the sources can be verified too.
sources() { find . -name "$1" -not -path './node_modules/*' | sort; }

unformatted=$(sources '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
  printf 'not gofmt-ed (make fmt):\n%s\n' "$unformatted"
  exit 1
fi

# Generated pages are committed, so that `go build` needs no generator.
templ() { go tool -modfile=tools.mod templ "$@"; }
templ fmt -fail -log-level warn views || { echo 'templ files are not formatted (make fmt)'; exit 1; }
before=$(sources '*_templ.go' | xargs sha256sum)
templ generate -path views -log-level warn
after=$(sources '*_templ.go' | xargs sha256sum)
if [ "$before" != "$after" ]; then
  echo 'generated pages were stale and have been regenerated (commit them):'
  diff <(echo "$before") <(echo "$after") | awk '/^>/ {print "  " $3}'
  exit 1
fi

go vet ./...
