"""Pieces of the app's page in HTML."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from mmvmlp.app.views import thumbnail
from mmvmlp.inspection.figures import Panel
from mmvmlp.visualization.drawing import encode_image


def heading(title: str, facts: Iterable[str]) -> str:
    """Return the head of the page."""
    items = ''.join(f'<li>{escape(fact)}</li>' for fact in facts)
    return f'<header class="head"><h1>{escape(title)}</h1><ul>{items}</ul></header>'


def note(*texts: str) -> str:
    """Return paragraphs in small print, without those that are empty."""
    return ''.join(f'<p class="note">{escape(text)}</p>' for text in texts if text)


def refusal(text: str) -> str:
    """Return a paragraph that says what is refused and why."""
    return f'<p class="refusal" role="alert">{escape(text)}</p>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, or a note if there are no rows."""
    rows = list(rows)
    if not rows:
        return note('Nothing has a score as high as this.')
    head = ''.join(f'<th scope="col">{escape(text)}</th>' for text in headings)
    body = ''.join(
        f'<tr>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>' for cells in rows
    )
    head, body = f'<thead><tr>{head}</tr></thead>', f'<tbody>{body}</tbody>'
    return f'<div class="found"><table>{head}{body}</table></div>'


def contact_sheet(panels: Iterable[Panel]) -> str:
    """Return a grid for each level of a feature pyramid, from the panels of one image."""
    grids: list[str] = []
    for panel in panels:
        if panel.values.ndim == 3:
            grids.append(f'<h3>{escape(panel.title.capitalize())}</h3><div class="maps">')
        picture = base64.b64encode(encode_image(thumbnail(panel), '.png')).decode()
        caption = 'image' if panel.values.ndim == 3 else panel.title
        grids[-1] += (
            f'<figure><img alt="" src="data:image/png;base64,{picture}">'
            f'<figcaption>{escape(caption)}</figcaption></figure>'
        )
    return ''.join(f'{grid}</div>' for grid in grids)
