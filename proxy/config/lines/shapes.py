"""Shapes of lines: the number of arguments of a word, and their form.

Owns the errors about an argument that does not fit. A shape checks the arguments of words whose
handler does not read them, so that a line without effect is refused where HAProxy refuses it; and
it marks the words after whose arguments HAProxy ignores the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from proxy.config.text.messages import ConfigError


class ArgumentShape(msgspec.Struct, frozen=True):
    """`least` to `most` arguments; if `lenient`, HAProxy ignores surplus ones.

    `form` is a pattern for each argument, `expected` the same in words. `options` are the words
    allowed after the first `before` arguments, each with the number of its values.
    """

    least: int = 0
    most: int | None = None
    lenient: bool = False
    form: str = ""
    expected: str = ""
    joined: bool = False  # `form` is for all of them together
    options: Mapping[str, int] = msgspec.field(default_factory=dict)
    before: int = 0

    def fitting(self, arguments: tuple[str, ...], described: str) -> int:
        """How many of the arguments belong to the word; ConfigError for one that does not fit."""
        if len(arguments) < self.least:
            raise ConfigError(f"{described} expects {self.expected or 'an argument'}")
        count = len(arguments) if self.most is None else min(self.most, len(arguments))
        if count < len(arguments) and not self.lenient:
            raise ConfigError(f"{described} cannot handle unexpected argument '{arguments[count]}'")
        forms = (" ".join(arguments[:count]),) if self.joined else arguments[:count]
        for argument in forms if self.form else ():
            if not re.fullmatch(self.form, argument):
                raise ConfigError(f"{described} expects {self.expected}, not '{argument}'")
        if self.options:
            self._check_options(arguments[self.before :], described)
        return count

    def _check_options(self, words: tuple[str, ...], described: str) -> None:
        while words:
            name = words[0]
            if name not in self.options:
                known = "', '".join(self.options)
                raise ConfigError(f"{described} knows the options '{known}', not '{name}'")
            values = self.options[name]
            if len(words) <= values:
                raise ConfigError(f"{described} : '{name}' expects a value")
            words = words[1 + values :]


_TIME = r"[0-9]+((us|[smhd]|ms).*)?"
_RANGE = r"(all|odd|even|[0-9]+(-[0-9]*)?)"

ALONE = ArgumentShape(most=0)
AT_MOST_ONE = ArgumentShape(most=1, lenient=True)  # the handler checks that it is there
AT_MOST_TWO = ArgumentShape(most=2, lenient=True)
ALONE_LENIENT = ArgumentShape(most=0, lenient=True)
ONE = ArgumentShape(1, 1)
ONE_LENIENT = ArgumentShape(1, 1, lenient=True)
TWO = ArgumentShape(2, 2)
TWO_LENIENT = ArgumentShape(2, 2, lenient=True)
THREE_LENIENT = ArgumentShape(most=3, lenient=True)
NUMBER = ArgumentShape(1, 1, form=r"[+-]?[0-9]+", expected="a number")
NUMBER_LENIENT = ArgumentShape(1, 1, lenient=True, form=r"[+-]?[0-9]+", expected="a number")
TIME = ArgumentShape(1, 1, form=_TIME, expected="a time")
TIME_LENIENT = ArgumentShape(1, 1, lenient=True, form=_TIME, expected="a time")
RANGES = ArgumentShape(
    1, form=rf"{_RANGE}(/{_RANGE})?", expected="numbers, ranges, 'all', 'odd' or 'even'"
)


def one_of(*words: str, least: int = 1) -> ArgumentShape:
    """One argument out of these words."""
    listed = "', '".join(words)
    form = "|".join(map(re.escape, words))
    return ArgumentShape(least, 1, form=form, expected=f"one of '{listed}'")


ON_OFF = one_of("on", "off")
