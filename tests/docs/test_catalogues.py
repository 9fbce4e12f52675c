"""Every text of dashboard, backend and `--help` is there in Spanish, with the same names, values and examples."""

from __future__ import annotations

import gettext
import re
import subprocess
import sys
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from bench.messages import CATALOGUES, HELP, Texts, missing
from streamdialer.cli import app
from streamdialer.cli.help_texts import EXAMPLE, VARIABLES, catalogue, texts_of

PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w*(?::[^}]*)?\}")
NAMES = re.compile(
    r"`[^`]+`|--[a-z-]+|\b[A-Z][A-Z_-]*[A-Z]\b|\w+=\w+|\w+://\S+\w|/[a-z]+|[\w:.-]*\d[\w:.-]*\w|\d"
)
"""Commands, options, settings, addresses, numbers and examples: what a reader types or looks for."""

each_catalogue = pytest.mark.parametrize("texts", CATALOGUES, ids=lambda texts: texts.part)


@each_catalogue
def test_every_text_has_its_spanish(texts: Texts) -> None:
    catalog = texts.stored()
    found = {each.id for each in texts.template() if each.id}
    assert len(found) > 100
    assert {each.id for each in catalog if each.id} == found, "run `python -m bench.messages`"
    assert missing(catalog) == []
    assert not [each.id for each in catalog if each.fuzzy and each.id]


def forms(text: Any) -> tuple[str, ...]:
    """One text, or those of one and of several."""
    return (text,) if isinstance(text, str) else tuple(text)


@each_catalogue
def test_no_translation_names_a_value_that_is_not_there(texts: Texts) -> None:
    for each in texts.stored():
        if each.id and each.id != "{detail}":  # that one has the words of the code as well
            english = forms(each.id)[-1]
            for text in forms(each.string):
                assert set(PLACEHOLDER.findall(text)) == set(PLACEHOLDER.findall(english)), english
                assert text.count("`") == english.count("`"), english


@each_catalogue
def test_the_compiled_catalogue_is_the_one_in_the_text_file(texts: Texts) -> None:
    with texts.mo.open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for each in texts.stored():
        one, several = forms(each.id)[0], forms(each.id)[-1]
        if one != several:
            assert [compiled.ngettext(one, several, number) for number in (1, 2)] == list(forms(each.string))
        elif one:
            assert compiled.gettext(one) == each.string


def test_help_in_spanish_has_the_same_names_numbers_and_examples() -> None:
    for each in filter(lambda each: each.id, HELP.stored()):
        assert sorted(NAMES.findall(str(each.string))) == sorted(NAMES.findall(str(each.id))), each.id


@pytest.mark.parametrize(
    ("environment", "is_spanish"),
    [
        ({}, False),
        ({"LANG": "es_CO.UTF-8"}, True),
        ({"LANG": "es"}, True),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "est_EE"}, False),
        ({"LANG": "es_ES", "LC_MESSAGES": "en_GB"}, False),
        ({"LANG": "es_ES", "LC_ALL": "C"}, False),
        ({"LANG": "en_US", "LC_ALL": "", "LC_MESSAGES": "es_MX"}, True),
        ({"LANG": "C.UTF-8", "LANGUAGE": "es"}, True),
        ({"LANG": "es_ES", "LANGUAGE": "en:es"}, False),
    ],
)
def test_the_environment_chooses_the_language_of_help(
    environment: dict[str, str], is_spanish: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (catalogue().gettext("Commands") == "Comandos") is is_spanish


ALL_HELP = """
import contextlib, typer
from streamdialer.cli import app

def paths(command, *path):
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from paths(inner, *path, name)

for path in paths(typer.main.get_command(app)):
    with contextlib.suppress(SystemExit):
        app([*path, "--help"])
"""


def test_all_help_is_in_spanish_and_its_examples_are_the_same() -> None:
    command = [sys.executable, "-c", ALL_HELP]
    environment = {"LANGUAGE": "es", "COLUMNS": "400"}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    english = {line for text in texts_of(get_command(app)) for line in text.split("\n\n") if len(line) > 50}
    assert [line for line in english if line in shown] == []
    assert not re.search(r"Options|Commands|Arguments|Usage|default:|required|Example|Show this", shown)
    assert shown.count("Uso: ") == shown.count("Ejemplo: ") == len(examples(get_command(app))) > 50
    assert [line for line in examples(get_command(app)) if f"Ejemplo: {line}" not in shown] == []


def examples(command: Any) -> list[str]:
    below = getattr(command, "commands", {}).values()
    return sum(map(examples, below), [command.epilog.removeprefix(EXAMPLE)])


@pytest.mark.parametrize("path", [("campaign", "create"), ("serve",), ("webhooks",)], ids=" ".join)
def test_a_narrow_terminal_cuts_off_no_name_and_no_example(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LANGUAGE", "en")
    shown = CliRunner().invoke(app, [*path, "--help"]).stdout
    command: Any = get_command(app)
    for name in path:
        command = command.commands[name]
    names = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    names |= {setting for each in command.params for setting in re.findall(r"\bSTREAMDIALER_\w+", each.help)}
    assert [name for name in names if not re.search(rf"{name}\b", shown)] == []
    assert command.epilog in shown
