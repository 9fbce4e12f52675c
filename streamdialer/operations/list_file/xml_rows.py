"""XML as rows: one for each element with values. Its columns are named by attributes and elements.

`<row><name>Ana</name><phone>300…</phone></row>` is a row with the columns name and phone. In the US registry's
`<ac val="201"><ph val="5551234"/><ph val="5551235"/></ac>` each `ph` is a row with the columns `ac val` and `ph val`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, Final
from xml.parsers import expat

import msgspec

_CHUNK: Final = 65_536


class XmlRow(msgspec.Struct):
    line: int
    values: dict[str, str]
    problem: str = ""


class _Element(msgspec.Struct):
    name: str
    line: int
    own: dict[str, str]
    """Its attributes."""
    text: str = ""
    is_leaf: bool = True
    leaves: dict[str, XmlRow] = {}
    """Its children that have no children, until one comes a second time: then each child is a row."""
    is_list: bool = False


class _Reader:
    def __init__(self) -> None:
        self.rows: list[XmlRow] = []
        self._open: list[_Element] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._refuse_entity

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        plain = name.rpartition(" ")[2]
        own = {f"{plain} {key.rpartition(' ')[2]}": value for key, value in attributes.items()}
        if self._open:
            self._open[-1].is_leaf = False
        self._open.append(_Element(plain, self.parser.CurrentLineNumber, own))

    def _characters(self, text: str) -> None:
        if self._open[-1].is_leaf:
            self._open[-1].text += text

    def _end(self, _name: str) -> None:
        element = self._open.pop()
        if not element.is_leaf:
            if element.leaves:
                self._add(element.line, element.own | _merged(element.leaves))
            return
        text = element.text.strip()
        row = XmlRow(element.line, element.own | ({element.name: text} if text else {}))
        if not row.values:
            return
        if not self._open:
            self._add(row.line, row.values)
            return
        parent = self._open[-1]
        if element.name in parent.leaves or parent.is_list:
            for each in (*parent.leaves.values(), row):
                self._add(each.line, parent.own | each.values)
            parent.leaves, parent.is_list = {}, True
        else:
            parent.leaves[element.name] = row

    def _add(self, line: int, values: dict[str, str]) -> None:
        above: dict[str, str] = {}
        for element in self._open:
            above |= element.own
        self.rows.append(XmlRow(line, above | values))

    def _refuse_entity(self, *_: Any) -> None:
        raise expat.ExpatError("it declares entities")


def read_xml(source: BinaryIO) -> Iterator[XmlRow]:
    """The rows; where the XML is broken, a last one with the problem."""
    reader, line = _Reader(), 0
    try:
        while chunk := source.read(_CHUNK):
            reader.parser.Parse(chunk)
            yield from reader.rows
            reader.rows.clear()
        reader.parser.Parse(b"", True)
    except (expat.ExpatError, LookupError) as error:
        line = reader.parser.CurrentLineNumber
        yield from reader.rows
        yield XmlRow(line, {}, f"the XML is broken from here: {error}")
        return
    yield from reader.rows


def _merged(leaves: dict[str, XmlRow]) -> dict[str, str]:
    return {key: value for leaf in leaves.values() for key, value in leaf.values.items()}
