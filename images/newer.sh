# Hooks of mmdebstrap for an image of a newer release than this machine's, whose mirrors need not have that one's updates and security whole for
# every architecture. The release itself, in the first line, must be there. A further list that cannot be had is left out of this build, which
# is told; the image names it all the same, so that its own apt finds it where it is.
#
#   choose ROOT   before the lists are read
#   restore ROOT  in the finished tree
set -eu
verb=$1 root=$2
list=$root/etc/apt/sources.list

case $verb in
  choose)
    cp "$list" /job/lists
    head -n 1 /job/lists > "$list"
    tail -n +2 /job/lists | grep . | while read -r line; do
      printf '%s\n' "$line" > /job/list
      if APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -o Dir::Etc::SourceList=/job/list -o Dir::Etc::SourceParts=/dev/null -o APT::List-Cleanup=0 \
        update --error-on=any > /job/said 2>&1 < /dev/null; then
        printf '%s\n' "$line" >> "$list"
      else
        line=${line% *}
        echo "@WITHOUT ${line##* }"
      fi
    done
    # mmdebstrap would take all for read that has left these.
    rm -f "$root"/var/cache/apt/*.bin
    ;;
  restore) cp /job/lists "$list" ;;
esac
