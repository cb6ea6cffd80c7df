"""What a page is made of: paragraphs, lists, tables and pictures, for the template to write."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attach_ai.plot.style import RC

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Part = Mapping[str, Any]


def text(text: str) -> Part:
    """A paragraph."""
    return {"kind": "text", "text": text}


def heading(text: str) -> Part:
    """A heading within a section."""
    return {"kind": "heading", "text": text}


def listing(entries: Sequence[str]) -> Part:
    """A list of sentences."""
    return {"kind": "list", "entries": list(entries)}


def checks(lines: Sequence[Mapping[str, Any]]) -> Part:
    """Each line has `good`, `text`, and what to `do` (empty where it is good)."""
    return {"kind": "checks", "entries": list(lines)}


def quote(text: str) -> Part:
    """Text to be copied from here."""
    return {"kind": "quote", "text": text}


def table(caption: str, columns: Sequence[str], rows: Any, *, numeric: bool = False) -> Part:
    """Cells by row; the first of each row is its header."""
    found = {"kind": "table", "caption": caption, "columns": list(columns)}
    return found | {"rows": [list(r) for r in rows], "numeric": numeric}


def figure(figure: Figure, alt: str, caption: str) -> Part:
    """A picture inside the page: an SVG, which prints as sharp as the paper is."""
    import matplotlib

    held = io.BytesIO()
    bare = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context(RC):
        figure.savefig(held, format="svg", metadata=bare)
    source = "data:image/svg+xml;base64," + base64.b64encode(held.getvalue()).decode()
    return {"kind": "figure", "source": source, "alt": alt, "caption": caption}
