"""A sentence in English that a page can also show in another language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Catalogue(Protocol):
    """Translations, as `gettext` of the standard library has them."""

    def gettext(self, message: str) -> str: ...

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str: ...


class Phrase(str):
    """The text in English; it keeps its template and the values, which may be phrases too.

    `Phrase("campaign {id} waits", id=7)` is `campaign 7 waits`. A template without values is taken as it stands.
    """

    __slots__ = ("number", "plural", "template", "values")

    template: str
    plural: str
    number: int
    values: Mapping[str, object]

    def __new__(cls, template: str, **values: object) -> Phrase:
        phrase = super().__new__(cls, _fill(template, values))
        phrase.template, phrase.plural, phrase.number, phrase.values = template, "", 0, values
        return phrase

    @classmethod
    def counted(cls, singular: str, plural: str, number: int, **values: object) -> Phrase:
        """One of two templates, by the number; both may name it `{number}`."""
        phrase = cls(singular if number == 1 else plural, number=number, **values)
        phrase.template, phrase.plural, phrase.number = singular, plural, number
        return phrase

    @classmethod
    def joined(cls, *parts: object) -> Phrase:
        """The parts, one after the other."""
        names = {f"part_{at}": part for at, part in enumerate(parts)}
        return cls("".join(f"{{{name}}}" for name in names), **names)

    def translated(self, catalogue: Catalogue) -> str:
        if not self.template:
            return ""  # `gettext` would answer with the catalogue's header
        template = (
            catalogue.ngettext(self.template, self.plural, self.number)
            if self.plural
            else catalogue.gettext(self.template)
        )
        return _fill(template, {name: translated(value, catalogue) for name, value in self.values.items()})


def translated(value: object, catalogue: Catalogue) -> object:
    """A phrase in the catalogue's language; anything else as it is."""
    return value.translated(catalogue) if isinstance(value, Phrase) else value


def _fill(template: str, values: Mapping[str, object]) -> str:
    return template.format(**values) if values else template
