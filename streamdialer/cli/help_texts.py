"""What `--help` prints: each paragraph as one line, in Spanish where the environment's language is Spanish.

That language is the first of LANGUAGE, LC_ALL, LC_MESSAGES and LANG that is set. `python -m bench.messages` makes the
catalogue from the commands. It has the words of typer as well, such as "Options".
"""

from __future__ import annotations

import gettext
import os
import re
from functools import partial
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, Final

import typer

LOCALE: Final = Path(__file__).parent / "locale"
DOMAIN: Final = "cli"
VARIABLES: Final = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
USAGE: Final = "Usage: "
EXAMPLE: Final = "Example: "
MIN_PANEL_WIDTH: Final = 100
"""A narrower terminal gets options without panels, whose columns would cut off long names."""


class HelpContext(typer.Context):
    """The context of a command; it translates the command's help when that is shown, and not before."""

    texts: gettext.NullTranslations | None = None

    def get_help(self) -> str:
        self.texts = catalogue()
        translate(self.command, self.texts)
        command: Any = self.command
        if not hasattr(command, "commands") and get_terminal_size().columns < MIN_PANEL_WIDTH:
            command.rich_markup_mode = None
            command.epilog = f"\b\n{command.epilog}"
        help_option: Any = command.get_help_option(self)
        help_option.help = self.texts.gettext(help_option.help)
        return super().get_help()

    def make_formatter(self) -> Any:
        formatter = super().make_formatter()
        if self.texts is not None:
            usage = self.texts.gettext(USAGE)
            formatter.write_usage = partial(formatter.write_usage, prefix=usage)  # type: ignore[method-assign]
        return formatter


def use_help_context(command: Any) -> None:
    """Gives the command and all commands below it the context above."""
    command.context_class = HelpContext
    for child in getattr(command, "commands", {}).values():
        use_help_context(child)


def catalogue() -> gettext.NullTranslations:
    """The texts in the environment's language; English is in the code."""
    language = next(filter(None, map(os.environ.get, VARIABLES)), "")
    if not re.match(r"es(?![a-z])", language):
        return gettext.NullTranslations()
    gettext.bindtextdomain(DOMAIN, str(LOCALE))
    gettext.textdomain(DOMAIN)  # typer asks this one for its own words
    return gettext.translation(DOMAIN, LOCALE, languages=["es"])


def translate(command: Any, texts: gettext.NullTranslations) -> None:
    """Puts the texts of the command's help, and the help of the commands below it, into that language."""
    for each in (command, *command.params, *getattr(command, "commands", {}).values()):
        if each.help:
            each.help = texts.gettext(unwrapped(each.help))
    if command.epilog:
        command.epilog = texts.gettext(EXAMPLE) + command.epilog.removeprefix(EXAMPLE)


def unwrapped(text: str) -> str:
    """Each paragraph in one line: the terminal is not as wide as the code."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def texts_of(command: Any) -> set[str]:
    """Every text of its help, and of the help of the commands below it."""
    below = getattr(command, "commands", {}).values()
    own = {unwrapped(each.help) for each in (command, *command.params) if each.help}
    return own.union(*map(texts_of, below))
