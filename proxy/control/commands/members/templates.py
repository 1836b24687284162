"""`show default-server`: the templates that `add server ... from <template>` can name."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.model.settings import Origin, Proxy
from proxy.config.outline.secrets import without_secrets
from proxy.config.outline.sections import written
from proxy.config.text.sources import SourceLine
from proxy.control.command import Answer, Command, CommandError, Level, Piece
from proxy.control.rows.report import Report


class ShowTemplates:
    """The command that lists them."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def commands(self) -> list[Command]:
        """What this family answers to."""
        return [
            Command(
                ("show", "default-server"),
                "[<backend>]",
                "the templates of 'default-server name' for servers (of all backends, or of one)",
                Level.OPERATOR,
                self.show,
            ),
        ]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show default-server [<backend>]`."""
        backends = self._report.backends
        if words:
            found = self._report.directory.backend(words[0])
            if found is None:
                raise CommandError("Can't find backend.")
            backends = (found,)
        return _lines(backends)


def _lines(backends: tuple[Proxy, ...]) -> Iterator[Piece]:
    """Each template as a file would have it, without secrets, below its section."""
    for proxy in backends:
        if proxy.server_templates:
            yield f"{proxy.kind} {proxy.name}\n"
        for name, words in proxy.server_templates:
            line = SourceLine(Origin(), ("default-server", "name", name, *words))
            yield f"    {written(without_secrets(line).words)}\n"
