#!/usr/bin/env bash
# What `make test` needs beside Go, Node and make: a browser, fonts for Chinese
# pages, PostgreSQL's server programs, Prosody, and a C compiler for the race detector.
# Installs what is missing where it may (Debian and Ubuntu, as root or with a
# sudo that asks nothing); elsewhere it names exactly what is missing and stops.
set -euo pipefail

missing=() # Debian's package names
names=()   # for people on other systems

need() { missing+=("$1"); names+=("$2"); }
have() { command -v "$1" >/dev/null 2>&1; }

survey() {
  missing=() names=()
  have chromium || have chromium-browser || have google-chrome || have google-chrome-stable ||
    need chromium 'Chromium or Chrome (browser tests)'
  # fc-list is not always there; the fonts' own folders are.
  { have fc-list && [ -n "$(fc-list :lang=zh-cn 2>/dev/null | head -n 1)" ]; } ||
    [ -n "$(find /usr/share/fonts -iname '*cjk*' -print -quit 2>/dev/null)" ] ||
    need fonts-noto-cjk 'a font with Chinese characters, such as Noto Sans CJK (browser tests)'
  [ -n "${HONGYAN_TEST_POSTGRES:-}" ] || have initdb ||
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
    compgen -G '/usr/pgsql-*/bin/initdb' >/dev/null ||
    compgen -G '/opt/homebrew/opt/postgresql@*/bin/initdb' >/dev/null ||
    need postgresql 'PostgreSQL server programs: initdb and postgres (or set HONGYAN_TEST_POSTGRES to the URL of a running server)'
  have prosody || need prosody 'Prosody, an XMPP server (a test drives it)'
  [ -e /usr/lib/prosody/modules/mod_cloud_notify ] || [ -e /usr/lib/prosody/modules/mod_cloud_notify.lua ] || ! have apt-get ||
    need prosody-modules "Prosody's module cloud_notify"
  have gcc || have clang || have cc || need gcc 'a C compiler (race detector)'
  [ ! -e /etc/debian_version ] || [ -e /usr/include/stdlib.h ] || need libc6-dev "the C library's headers (race detector)"
}

have go || { echo 'Go 1.26 or newer is needed: https://go.dev/dl/'; exit 1; }
have npm || { echo 'Node.js 20 or newer with npm is needed: https://nodejs.org/'; exit 1; }

survey
[ ${#missing[@]} -eq 0 ] && exit 0

if have apt-get; then
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo && sudo -n true 2>/dev/null && as_root=(sudo -n) || as_root=(false)
  fi
  if [ "${as_root[0]:-}" != false ]; then
    echo "installing what the tests need: ${missing[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
    survey
    [ ${#missing[@]} -eq 0 ] && exit 0
  fi
fi

echo 'The tests need what this machine does not have:'
printf '  - %s\n' "${names[@]}"
have apt-get && echo "Install it with: sudo apt-get install -y --no-install-recommends ${missing[*]}"
exit 1
