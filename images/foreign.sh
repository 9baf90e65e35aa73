# How a recipe is built for another architecture, inside the jail; the image never sees this file.
#
# What is unpacked is run by QEMU's user emulator. That is slow where programs start others, as maintainer scripts do all the time, so
# what gives the same result on any processor is not emulated: shell scripts are handed to this machine's own dash, and the tools that
# they call are found as this machine's own first. They are of the same version where the recipe is made of the suite that this machine
# runs, and one release older where it is not (newer.sh): what they do for maintainer scripts is the same. dpkg, systemctl, ldconfig, and whatever else has an architecture in its results, are the image's; so is Perl, whose scripts
# load modules in machine code out of the image.
#
#   start RULE COMMAND…   registers the emulator and the script rules in this user namespace, then runs COMMAND
#   enter ROOT            puts this machine's tools into the tree, at /.native and where they look for their loader and libraries; once
#                         more after the essential packages, because usr-is-merged of Debian 12 removes a /lib64 that is no package's
#   leave ROOT            takes them out again
set -eu

case $(uname -m) in
  x86_64) loader=usr/lib64/ld-linux-x86-64.so.2 libs=usr/lib/x86_64-linux-gnu ;;
  aarch64) loader=usr/lib/ld-linux-aarch64.so.1 libs=usr/lib/aarch64-linux-gnu ;;
  *) loader= ;;
esac
misc=/proc/sys/fs/binfmt_misc
tools='[ awk base64 basename bzip2 cat chgrp chmod chown cmp comm cp cut dash date dd diff dirname dpkg-deb du echo egrep env expr false
  fgrep find getopt grep gunzip gzip head id install ln ls md5sum mkdir mktemp mv nl od openssl paste printf pwd readlink realpath rev
  rm rmdir sed seq sh sha256sum sleep sort stat tail tar tee test touch tr true truncate uniq wc xargs xz zcat zstd'

# A whole first line, so that one with further options is left to the emulator: a rule cannot pass them on.
script_rule() {
  printf ':%s:M::%s::%s:F' "$1" "$2" "$3" > "$misc/register"
}

verb=$1
shift
case $verb in
  start)
    mount -t binfmt_misc binfmt_misc "$misc"
    printf %s "$1" > "$misc/register"
    shift
    if [ "$loader" ]; then
      script_rule sh '#!/bin/sh\x0a' /usr/bin/dash
      script_rule sh-blank '#! /bin/sh\x0a' /usr/bin/dash
    fi
    export PATH="/.native/bin:$PATH"
    exec "$@"
    ;;
  enter)
    [ "$loader" ] || exit 0
    root=$1
    mkdir -p "$root/$(dirname "$loader")"
    ln -sf "/.native/$loader" "$root/$loader"
    case $loader in
      usr/lib64/*) [ -e "$root/lib64" ] || ln -s usr/lib64 "$root/lib64" ;;
    esac
    [ ! -e "$root/.native" ] || exit 0
    mkdir -p "$root/.native/bin" "$root/.native/usr"
    mount --bind /usr "$root/.native/usr"
    for tool in $tools; do
      path=$(command -v "$tool" || :)
      case $path in
        /*) ln -s "/.native$(realpath "$path")" "$root/.native/bin/$tool" ;;
      esac
    done
    # This one is a shell script, but with an option in its first line, and starts some thousand programs.
    printf '#!/.native/bin/dash\nexec /.native/bin/dash -e /usr/sbin/update-ca-certificates "$@"\n' > "$root/.native/bin/update-ca-certificates"
    chmod 755 "$root/.native/bin/update-ca-certificates"
    ln -s "/.native/$libs" "$root/$libs"
    ;;
  leave)
    root=$1
    sed -i '/^DPkg::Path /d' "$root/etc/apt/apt.conf.d/99mmdebstrap"
    [ "$loader" ] || exit 0
    umount "$root/.native/usr"
    rm "$root/$loader" "$root/$libs"
    rm -r "$root/.native"
    case $loader in
      usr/lib64/*) rmdir "$root/usr/lib64" 2> /dev/null && rm "$root/lib64" || : ;;
    esac
    ;;
esac
