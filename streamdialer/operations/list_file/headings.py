"""What the headings of a file say of its columns, in English and Spanish (pure)."""

from __future__ import annotations

import re
import unicodedata
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PHONE_WORDS: Final = _words(
    "phone phones phonenumber telephone telephones telephonenumber tel telf tlf tfno fono telefono telefonos "
    "telefonico telefone telefon telefonnummer cel cell cellphone celular celulares mobile mobiles mobil movil "
    "moviles handy landline linea lineas msisdn whatsapp ph"
)
"""A heading with one of these words, in any case and without accents, is of a column with phone numbers."""
_OTHER_WORDS: Final = _words(
    "type tipo label code codigo country pais carrier ext extension status date fecha"
)
"""With one of these words it is not."""
_ID_WORDS: Final = _words(
    "id ids uid uuid code codigo account cuenta ref referencia reference folio cedula cc documento document nit dni "
    "nie rut rfc curp cif nif ssn factura invoice contrato contract pedido order fecha date zip postal obligacion"
)
AREA_HEADINGS: Final = frozenset(
    ("area code", "areacode", "codigo de area", "codigo area", "indicativo", "lada", "ac", "ac val")
)
"""Headings of area codes beside numbers without them; `ac val` is the XML of the US registry."""
WEAK_HEADINGS: Final = frozenset(("number", "numbers", "numero", "numeros", "num", "contact", "contacto"))
"""Headings of the numbers in a file that has no better one."""
FIELDS: Final[dict[str, frozenset[str]]] = {
    "priority": frozenset({"priority", "prioridad"}),
    "timezone": frozenset({"timezone", "time zone", "tz", "zona horaria", "huso", "huso horario"}),
    "region": frozenset({"region"}),
    "do_not_call": frozenset({"do not call", "dnc", "no llamar", "lista negra"}),
    "consent": frozenset(
        {
            "consent",
            "consent at",
            "consent date",
            "consentimiento",
            "fecha consentimiento",
            "autoriza",
            "autorizacion",
        }
    ),
    "subject": frozenset({"subject", "asunto"}),
    "caller_id": frozenset({"caller id", "callerid"}),
}
"""Headings of the other fields of a contact, in English and Spanish."""
_WORD: Final = re.compile(r"[A-Z]?[^\W\dA-Z_]+|[A-Z]+(?![a-z])|\d+")
"""PhoneNumber and phone_number are two words each."""


def normal_heading(cell: str) -> str:
    """Words in lower case, without accents, joined by blanks."""
    apart = unicodedata.normalize("NFKD", cell)
    plain = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return " ".join(_WORD.findall(plain)).lower()


def is_of_phones(heading: str) -> bool:
    words = frozenset(heading.split())
    return bool(words & _PHONE_WORDS) and not words & _OTHER_WORDS


def is_of_ids(heading: str) -> bool:
    return bool(_ID_WORDS & set(heading.split()))


def names_numbers(headings: list[str]) -> bool:
    return any(is_of_phones(heading) or heading in WEAK_HEADINGS for heading in headings)
