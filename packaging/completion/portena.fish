# SPDX-License-Identifier: Apache-2.0
# portena completes itself: it knows its commands, and asks the server for names.
function __portena_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l index (math (count $words) - 2)
    for line in (command portena __complete $index -- $words[2..-1] 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c portena -f -a '(__portena_complete)'
