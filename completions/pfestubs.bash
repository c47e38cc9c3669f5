_pfestubs_completion() {
    local IFS=$'\n' response type value
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _PFESTUBS_COMPLETE=bash_complete $1)
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        case $type in
        dir) COMPREPLY=(); compopt -o dirnames ;;
        file) COMPREPLY=(); compopt -o default ;;
        plain) COMPREPLY+=("$value") ;;
        esac
    done
}
complete -o nosort -F _pfestubs_completion pfestubs
