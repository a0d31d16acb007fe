# shellcheck shell=bash
# bash completion of threadlab(1). The names come from the driver itself, so that a new
# implementation or benchmark completes as well.

# Names of a thing as `threadlab list` prints them, one in a line.
_threadlab_names()
{
    "$1" list "$2" 2>/dev/null | awk '/^  [a-z]/ { print $1 }'
}

# Completes the last item of a comma list out of the words of $2.
_threadlab_list()
{
    local current=$1 before=
    [[ $current != *,* ]] || before=${current%,*},
    mapfile -t COMPREPLY < <(compgen -P "$before" -W "$2" -- "${current##*,}")
    compopt -o nospace 2>/dev/null
}

_threadlab()
{
    local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]}
    local option=${COMP_WORDS[COMP_CWORD - 1]} verb='' word
    local -a words=("${COMP_WORDS[@]:1:COMP_CWORD-1}")
    COMPREPLY=()

    # --impl=x comes as three words, because = separates them.
    if [[ $current == '=' ]]; then
        current=
    elif [[ $option == '=' ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for word in "${words[@]}"; do
        case $word in
        list | run | compare | serve | check | mutants | threads | cc | c++ | env | doctor)
            verb=$word
            break
            ;;
        esac
    done

    case $option in
    --impl | --impl-a | --impl-b)
        _threadlab_list "$current" "$(_threadlab_names "$program" impls)"
        ;;
    --bench) _threadlab_list "$current" "$(_threadlab_names "$program" benches)" ;;
    --place)
        mapfile -t COMPREPLY < <(compgen -W "same-pu smt shared-l2 shared-l3 cross-l3 cross-numa
            cross-package compact spread cpus=" -- "$current")
        ;;
    --events) _threadlab_list "$current" "$(_threadlab_names "$program" events)" ;;
    --preset) mapfile -t COMPREPLY < <(compgen -W 'quick standard full' -- "$current") ;;
    --mutant) mapfile -t COMPREPLY < <(compgen -W "$(_threadlab_names "$program" mutants)" \
        -- "$current") ;;
    --out | --resume | --plugin | --topology | --junit | --expect | --program | \
        --programs | --include | --markdown | --gitlab | \
        --thresholds)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        compopt -o filenames 2>/dev/null
        ;;
    --counts) mapfile -t COMPREPLY < <(compgen -W 'events callgrind' -- "$current") ;;
    --cells) mapfile -t COMPREPLY < <(compgen -W 'first all' -- "$current") ;;
    --rounds | --budget | --ops | --seed | --set | --jobs | --deadline | --torture | --cell | \
        --delta | --alpha | --window | --slowdown) ;;
    *)
        if [[ $current == -* ]]; then
            case $verb in
            run)
                word='--impl --bench --place --set --events --preset --rounds --budget --ops
                    --counts --seed --out --resume --plugin --topology --no-checks --dry-run --json'
                ;;
            check)
                word='--impl --place --set --seed --out --expect --junit --jobs --deadline --torture
                    --program --programs --include --mutant --plugin --json'
                ;;
            mutants) word='--claims --seed --jobs --plugin' ;;
            compare)
                word='--impl --bench --place --set --plugin --preset --seed --budget --out --junit
                    --json --impl-a --impl-b --cell --cells --delta --alpha --thresholds --window
                    --no-layout --aa --slowdown --lab --markdown --gitlab --verbose --help'
                ;;
            serve)
                word='--impl --bench --place --set --preset --rounds --seed --plugin'
                ;;
            cc | c++) word='--impl --show' ;;
            list) word='--json --plugin --topology' ;;
            env | doctor) word='--json' ;;
            *) word='--help --version' ;;
            esac
            mapfile -t COMPREPLY < <(compgen -W "$word" -- "$current")
        elif [[ -z $verb ]]; then
            mapfile -t COMPREPLY < <(compgen -W 'list run compare serve check mutants threads cc
                c++ env doctor' -- "$current")
        elif [[ $verb == list ]]; then
            mapfile -t COMPREPLY < <(compgen -W 'impls benches checks mutants places events
                topology' -- "$current")
        elif [[ $verb == check ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$(_threadlab_names "$program" checks)" \
                -- "$current")
        elif [[ $verb == compare ]]; then
            mapfile -t COMPREPLY < <(
                compgen -f -- "$current"
                git for-each-ref --format='%(refname:short)' 2>/dev/null | grep -F -- "$current"
            )
            compopt -o filenames 2>/dev/null
        elif [[ $verb == c[c+]* ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            compopt -o filenames 2>/dev/null
        elif [[ $verb == mutants ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$(_threadlab_names "$program" mutants)" \
                -- "$current")
        fi
        ;;
    esac
    return 0
}

complete -F _threadlab threadlab
