#!/usr/bin/env bash
# The Dockerfile's steps without a container engine: build the static binary the way
# the image does, run it with an almost empty environment, and ask it how it is the
# way HEALTHCHECK does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=$(mktemp -d)
pid=
cleanup() {
  [ -z "$pid" ] || { kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; } || true
  rm -rf "$out"
}
trap cleanup EXIT

[ -e static/vendor/sprite.svg ] || { echo 'run make assets first'; exit 1; }
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.release=docker-steps' -o "$out/hongyan" .

# A static binary runs in an image without a C library.
if command -v ldd >/dev/null && ldd "$out/hongyan" >/dev/null 2>&1; then
  echo 'the binary is not static'; exit 1
fi

run=(env -i "DATA_DIR=$out/data" LISTEN=127.0.0.1:0 LOG_FORMAT=json)
"${run[@]}" "$out/hongyan" version | grep -q docker-steps || { echo 'version does not name the release'; exit 1; }

# Nothing listens yet: the check must fail.
if env -i LISTEN=127.0.0.1:9 "$out/hongyan" healthcheck 2>/dev/null; then
  echo 'healthcheck passes without a server'; exit 1
fi

"${run[@]}" "$out/hongyan" serve >"$out/stdout" 2>"$out/log" &
pid=$!
address=
for _ in $(seq 1 300); do
  address=$(sed -n 's/^Hongyan .* listens on //p' "$out/stdout")
  [ -z "$address" ] || break
  kill -0 "$pid" 2>/dev/null || { cat "$out/log"; exit 1; }
  sleep 0.1
done
[ -n "$address" ] || { echo 'the server did not start'; cat "$out/log"; exit 1; }
env -i LISTEN="$address" "$out/hongyan" healthcheck
kill -TERM "$pid"
wait "$pid" || { echo 'the server did not stop cleanly'; cat "$out/log"; exit 1; }
pid=
echo "docker steps: $(du -h "$out/hongyan" | cut -f1) static binary, serves, healthy, stops"
