"""Numbers as people write them: decimal commas, thousands set apart, typographic minus signs."""

import re
from collections.abc import Iterable

_SPACES = " \u00a0\u2009\u202f'’"
_COMMA_DECIMAL = re.compile(r"[-+]?(\d*,\d+([eE][-+]?\d+)?|\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,})")
_POINT_DECIMAL = re.compile(r"[-+]?(\d*\.\d+([eE][-+]?\d+)?|\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,})")
# One mark before three digits may be either.
_EITHER = re.compile(r"[-+]?[1-9]\d{0,2}[.,]\d{3}")
_GROUPED = {
    ",": re.compile(r"[-+]?\d{1,3}([.]\d{3})+(,\d+)?"),
    ".": re.compile(r"[-+]?\d{1,3}([,]\d{3})+(\.\d+)?"),
}
_STYLED = {",": re.compile(rf"[.,−–{_SPACES}]"), ".": re.compile(rf"[,−–{_SPACES}]")}
_SPACED = re.compile(rf"[-+]?\d{{1,3}}([{_SPACES}]\d{{3}})+([.,]\d+)?")


def decimal_mark(cells: Iterable[str], separator: str | None) -> tuple[str, str | None]:
    """The decimal mark of a table, and a cell that leaves it in doubt, if the others do not decide.

    In doubt, a mark that separates columns sets thousands apart, and any other one is decimal.
    """
    comma = point = False
    doubt: dict[str, str] = {}
    for cell in cells:
        # What is known already need not be looked at again: tables have millions of cells.
        if (comma and "." not in cell) or (point and "," not in cell):
            continue
        cell = _plain(cell)
        if _EITHER.fullmatch(cell):
            doubt.setdefault("," if "," in cell else ".", cell)
        elif _COMMA_DECIMAL.fullmatch(cell):
            comma = True
        elif _POINT_DECIMAL.fullmatch(cell):
            point = True
    if comma or point:
        return "," if comma and not point else ".", None
    if "," in doubt:
        # Both marks before three digits: nothing fits all.
        return "," if separator != "," and "." not in doubt else ".", None if separator == "," else doubt[","]
    return ".", doubt.get(".") if separator == ";" else None


def restyled(cell: str, decimal: str) -> str:
    """The cell as Python writes the number; unchanged if it is none."""
    if not _STYLED[decimal].search(cell):
        return cell
    text = _plain(cell)
    if _GROUPED[decimal].fullmatch(text):
        text = text.replace("." if decimal == "," else ",", "")
    if decimal == "," and _COMMA_DECIMAL.fullmatch(text):
        return text.replace(",", ".")
    return text if text[:1] in "+-.0123456789" else cell


def _plain(cell: str) -> str:
    """Without spaces between thousands, and with the hyphen as minus sign."""
    text = "-" + cell[1:] if cell[:1] in "−–" and cell[1:2].isdigit() else cell
    return re.sub(f"[{_SPACES}]", "", text) if _SPACED.fullmatch(text) else text
