# bash completion of millrace; made by python -m proxy.flags
_millrace()
{
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    case $before in
        -f|--against|-p|-x|-S|--socket)
            compopt -o filenames
            COMPREPLY=($(compgen -f -- "$word"))
            return ;;
        -C)
            compopt -o filenames
            COMPREPLY=($(compgen -d -- "$word"))
            return ;;
        -cc|-L|-n|-m|-N|-sf|-st|--timeout)
            return ;;
    esac
    COMPREPLY=($(compgen -W "-f -c --against -cc -V -q -D -d -db -W -Ws -p -C -L -n -m -N -4 -sf -st -x -dW -dD -dr -dS -dV -S --socket --timeout -h --help -v -vv -vq -vqs -vqb ping add clear commit del disable echo enable get help prepare publish set show shutdown unpublish wait report reload hard-reload demo" -- "$word"))
}
complete -F _millrace millrace
