"""Equations as MathML, written when the pages are built: no script and no font is fetched by a reader's browser."""

import html
import re

from latex2mathml.converter import convert

_EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content, page, config, files):
    """Each equation that the Markdown extension has marked."""

    def rendered(match):
        display = "block" if match[2] == "[" else "inline"
        return convert(html.unescape(match[3]), display=display)

    return _EQUATION.sub(rendered, content)
