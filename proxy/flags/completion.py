"""What bash and zsh complete behind `millrace`."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.flags.table import COMMANDS, FLAGS, IDLE_FLAGS, PROGRAM, Flag, Takes

_EVERY = (*FLAGS, *IDLE_FLAGS)
_PATHS = (Takes.CONFIGURATION, Takes.FILE, Takes.SOCKET)


def _names(*kinds: Takes) -> str:
    return "|".join(name for flag in _EVERY if flag.takes in kinds for name in flag.names)


_WORDS = " ".join(word for command in COMMANDS for word in command.words)
_FLAGS = " ".join(name for flag in FLAGS for name in flag.names)
_OTHERS = tuple(each for each in Takes if each not in (Takes.NOTHING, Takes.FOLDER, *_PATHS))

BASH = f"""# bash completion of {PROGRAM}; made by python -m proxy.flags
_{PROGRAM}()
{{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    case $before in
        {_names(*_PATHS)})
            compopt -o filenames
            COMPREPLY=($(compgen -f -- "$word"))
            return ;;
        {_names(Takes.FOLDER)})
            compopt -o filenames
            COMPREPLY=($(compgen -d -- "$word"))
            return ;;
        {_names(*_OTHERS)})
            return ;;
    esac
    COMPREPLY=($(compgen -W "{_FLAGS} {_WORDS}" -- "$word"))
}}
complete -F _{PROGRAM} {PROGRAM}
"""


def _zsh_text(text: str) -> str:
    for special in ("\\", "[", "]", ":"):
        text = text.replace(special, f"\\{special}")
    return text.replace("'", "'\\''")


def _zsh_flag(flag: Flag, name: str) -> str:
    action = {Takes.FOLDER: ":folder:_files -/", Takes.NOTHING: ""}.get(
        flag.takes, ":file:_files" if flag.takes in _PATHS else f":{_zsh_text(flag.takes.value)}:"
    )
    repeated = "*" if flag.takes is Takes.CONFIGURATION else ""
    return f"    '{repeated}{name}[{_zsh_text(flag.help or flag.idle)}]{action}'"


def _zsh() -> Iterator[str]:
    yield f"#compdef {PROGRAM}"
    yield "# made by python -m proxy.flags"
    yield "_arguments -S \\"
    for flag in FLAGS:
        yield from (f"{_zsh_flag(flag, name)} \\" for name in flag.names)
    yield f"    '1:command:({_WORDS})' \\"
    yield "    '*::word:'"


ZSH = "\n".join(_zsh()) + "\n"
