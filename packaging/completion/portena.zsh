#compdef portena
# SPDX-License-Identifier: Apache-2.0
# portena completes itself: it knows its commands, and asks the server for names.
_portena() {
  local line files=0
  local -a found open
  while IFS= read -r line; do
    case $line in
      :files) files=1 ;;
      *[=:.]) open+=("$line") ;;
      *) found+=("$line") ;;
    esac
  done < <("${words[1]}" __complete $((CURRENT - 2)) -- "${(@)words[2,-1]}" 2>/dev/null)
  (( ${#found} )) && compadd -a found
  (( ${#open} )) && compadd -S '' -a open
  (( files )) && _files
  return 0
}
_portena "$@"
