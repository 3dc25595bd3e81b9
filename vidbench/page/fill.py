"""Templates become pages: every value is cleaned and escaped, and one script alone may run.

All text of a run (labels, paths, reasons, versions) is foreign: control and direction-changing characters are written
out.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path

from vidbench.intervals import p_words
from vidbench.metrics import percent, points
from vidbench.utils import plural, printable

TEMPLATES = Path(__file__).parents[1] / "templates"


def render(content: dict, template: str = "report.html.j2") -> str:
    """A page: one of ``templates/`` with every value cleaned and escaped."""
    from markupsafe import Markup

    script = {"script": Markup(table_script()), "script_source": script_source()}
    return _templates().get_template(template).render({**content, **script}) + "\n"


@functools.cache
def _templates():
    """What fills templates. Kept, because compiling one takes a tenth of a report's time, and a study writes many."""
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    jinja = jinja2.Environment(
        loader=loader, trim_blocks=True, lstrip_blocks=True, autoescape=True, finalize=clean,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    jinja.filters |= {"percent": percent, "pct": lambda value: f"{100 * value:.1f}", "points": points, "plural": plural}
    jinja.filters |= {"p_words": p_words}
    return jinja


@functools.cache
def table_script() -> str:
    """What sorts and filters the tables of a page: the only script in it."""
    return (TEMPLATES / "table.js").read_text(encoding="utf-8")


@functools.cache
def script_source() -> str:
    """The source that a Content-Security-Policy allows scripts from: those with the hash of ours, and no others."""
    digest = hashlib.sha256(table_script().encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def clean(value):
    """A value as it may stand on the page: text without control or direction-changing characters."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    if re.fullmatch(r"data:image/jpeg;base64,[A-Za-z0-9+/=]*", value):
        return value
    text = printable(value, 400)
    return re.sub("[\u200e\u200f\u2028-\u202e\u2066-\u2069]", lambda match: f"\\u{ord(match.group()):04x}", text)
