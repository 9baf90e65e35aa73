# SPDX-License-Identifier: Apache-2.0
# portena completes itself: it knows its commands, and asks the server for names.
_portena() {
  local line words cword cur prev
  # ':' and '=' belong to words here (studio:/etc, memory=2GiB).
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n := cur prev words cword
  else
    words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]}
  fi
  COMPREPLY=()
  while IFS= read -r line; do
    if [ "$line" = :files ]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
    else
      case $line in *[=:.]) compopt -o nospace 2>/dev/null ;; esac
      COMPREPLY+=("$line")
    fi
  done < <("${words[0]}" __complete $((cword - 1)) -- "${words[@]:1}" 2>/dev/null)
  declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"
  return 0
}
complete -F _portena portena
