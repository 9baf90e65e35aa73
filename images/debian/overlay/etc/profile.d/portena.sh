# Colours for everybody, root too.
[ -x /usr/bin/dircolors ] && eval "$(dircolors -b)" && alias ls='ls --color=auto' grep='grep --color=auto'
alias ll='ls -l'
