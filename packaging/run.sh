#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Starts Portena out of a build directory and stays in the foreground. Ctrl-C stops the daemons and the instances; all data
# stays, and the next `make run` continues where this one ended.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$1" && pwd)
state=${PORTENA_STATE:-/var/lib/portena}
run=${PORTENA_RUN:-/run/portena}
listen=${PORTENA_LISTEN:-0.0.0.0:8443}
vnc=${PORTENA_VNC:-none}
uplink=${PORTENA_UPLINK:-auto}
cgroup=${PORTENA_CGROUP:-portena}
user=portena-gateway
export PORTENA_DATADIR="$top" PORTENA_SOCKET="$run/api.sock"
portena="$build/src/cli/portena"

say() { printf '\033[1m%s\033[0m\n' "$*"; }
fail() { printf 'portena: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail 'make run needs root: sudo make run'
"$top/packaging/user.sh"
mkdir -p "$state" "$run"

daemon= gateway=
stop() {
  trap '' INT TERM
  echo
  say 'Stopping (the data stays; the next run continues)…'
  [ -z "$gateway" ] || kill -TERM "$gateway" 2>/dev/null || true
  [ -z "$daemon" ] || kill -INT "$daemon" 2>/dev/null || true
  [ -z "$gateway" ] || wait "$gateway" 2>/dev/null || true
  [ -z "$daemon" ] || wait "$daemon" 2>/dev/null || true
  exit "${1:-0}"
}
trap 'stop 0' INT TERM

# Own sessions: Ctrl-C reaches this script alone, which then ends them in order.
start_daemon() {
  setsid "$build/src/daemon/portenad" --state "$state" --run "$run" --libexec "$build/src/helpers" --uplink "$uplink" --cgroup "$cgroup" &
  daemon=$!
}
start_gateway() {
  setsid "$build/src/gateway/portena-gateway" --api "$run/api.sock" --listen "$listen" --vnc "$vnc" --state "$state/gateway" \
    --run "$run/gateway" --web "$top/web/dist" --user $user &
  gateway=$!
}
start_daemon
n=0
until "$portena" whoami -q >/dev/null 2>&1; do
  kill -0 $daemon 2>/dev/null || { daemon=; fail 'portenad did not start; it says why above'; }
  n=$((n + 1)); [ $n -lt 300 ] || { echo 'portenad does not answer after 30 s' >&2; stop 1; }
  sleep 0.1
done
start_gateway

# What machines start from has a program of ours in it, so another build of that makes it anew.
mark=$(sha256sum "$build/src/helpers/portena-guest" | cut -c1-12)
"$portena" image show kernel 2>/dev/null | grep -q "portena-guest $mark" || { say 'Building the image kernel…'; "$portena" image build kernel || stop 1; }
for image in debian desktop; do
  "$portena" image show $image >/dev/null 2>&1 || { say "Building the image $image (once)…"; "$portena" image build $image || stop 1; }
done
if "$portena" show desktop --space home >/dev/null 2>&1; then
  "$portena" start desktop --space home --wait >/dev/null 2>&1 || true
else
  "$portena" launch desktop desktop --space home --wait || stop 1
fi
kill -0 $gateway 2>/dev/null || { gateway=; echo 'portena-gateway did not start; it says why above' >&2; stop 1; }

port=${listen##*:}
echo
case $listen in
  0.0.0.0:* | \[::\]:*) say "Portena is ready:  https://$(hostname):$port/   (or https://localhost:$port/)" ;;
  *) say "Portena is ready:  https://$listen/" ;;
esac
if [ -r "$state/first-login" ]; then
  say "First login:       $(cut -d' ' -f1 "$state/first-login")   password: $(cut -d' ' -f2- "$state/first-login")"
fi
echo 'The certificate is your own, so the browser asks once. Ctrl-C stops Portena.'
# Whichever of the two ends is started again, a second later at the earliest.
alive() { kill -0 "$1" 2>/dev/null; }
while :; do
  sleep 1 &
  wait $! || true
  alive "$daemon" || {
    wait "$daemon" || true
    echo 'portena: portenad has ended; starting it again (what runs goes on)' >&2
    start_daemon
  }
  alive "$gateway" || {
    wait "$gateway" || true
    echo 'portena: portena-gateway has ended; starting it again (connections come back by themselves)' >&2
    start_gateway
  }
done
