/**
 * The completion scripts of the shells. Each calls `ptmon complete SHELL -- WORDS…`, whose lines are `VALUE<tab>DESCRIPTION`, and at the
 * end `:none`, `:files` or `:files SUFFIX`.
 */

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const BASH = `# bash completion of ptmon: source <(ptmon completion bash)
_ptmon() {
  local current=\${COMP_WORDS[COMP_CWORD]} lines line directive
  # bash splits --vm=web into three words, and completes the last of them.
  [[ $current == '=' ]] && current=
  COMPREPLY=()
  mapfile -t lines < <(ptmon complete bash -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  ((\${#lines[@]} > 0)) || return 0
  directive=\${lines[-1]}
  unset 'lines[-1]'
  # A guest names its processes: what means something to the shell is quoted.
  for line in "\${lines[@]}"; do
    printf -v line %q "\${line%%$'\\t'*}"
    COMPREPLY+=("$line")
  done
  case $directive in
    ':files '*)
      compopt -o filenames
      mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(
        compgen -f -X "!*\${directive#:files }" -- "$current"
        compgen -d -- "$current"
      )
      ((\${#COMPREPLY[@]} > 0)) || compopt -o default ;;
    :files) compopt -o default ;;
  esac
}
complete -F _ptmon ptmon
`;

const ZSH = `#compdef ptmon
# zsh completion of ptmon: source <(ptmon completion zsh), after compinit
_ptmon() {
  local -a lines values
  local line directive
  lines=("\${(@f)$(ptmon complete zsh -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  directive=$lines[-1]
  lines[-1]=()
  for line in $lines; do
    values+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  (( $#values )) && _describe -t values ptmon values
  case $directive in
    ':files '*) _files -g "*\${directive#:files }" ;;
    :files) _files ;;
  esac
}
if [[ $funcstack[1] == _ptmon ]]; then _ptmon "$@"; else compdef _ptmon ptmon; fi
`;

const FISH = `# fish completion of ptmon: ptmon completion fish | source
function __ptmon_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  set -l lines (ptmon complete fish -- $words[2..-1] "$current" 2>/dev/null)
  set -q lines[1]; or return
  test (count $lines) -gt 1; and printf '%s\\n' $lines[1..-2]
  switch $lines[-1]
    case ':files *'
      __fish_complete_suffix (string replace ':files ' '' -- $lines[-1])
    case ':files'
      __fish_complete_path "$current"
  end
end
complete -c ptmon -f -a '(__ptmon_complete)'
`;

export function completionScript(shell: Shell): string {
  return { bash: BASH, zsh: ZSH, fish: FISH }[shell];
}
