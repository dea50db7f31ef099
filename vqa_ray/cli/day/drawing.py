"""Bars, columns and lanes as SVG, tables as HTML, and the style of the page. Text is escaped here."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH, LABEL, ROW, FIGURE = 960, 210, 26, 120  # pixels: of all, of names, of a bar, of the figure behind it
HEIGHT, LEFT = 150, 40  # of a chart of columns, and what is left of it for its scale
LETTERS = 28  # of a name; the whole of it is in the hint

STYLE = """
:root{color-scheme:light dark;--bg:#fcfcfb;--ink:#1c1c1a;--soft:#6b6a66;--rule:#dddcd6;
--good:#1f5fbf;--critical:#e34948;--major:#eb6834;--minor:#eda100;--info:#8fbbea;--none:#c9c8c2}
@media(prefers-color-scheme:dark){:root{--bg:#1a1a19;--ink:#eeeeea;--soft:#a3a29b;--rule:#3a3a37;
--critical:#e66767;--major:#d95926;--minor:#c98500;--info:#5c7fa8;--good:#5aa2f5;--none:#55544f}}
body{background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif;margin:0}
main{max-width:960px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid var(--rule)}
.note{color:var(--soft);font-size:.87rem}.scroll{overflow-x:auto}
svg{width:100%;min-width:660px;height:auto;display:block}svg text{fill:var(--ink);font:13px system-ui,sans-serif}
svg .soft{fill:var(--soft);font-size:12px}svg .rule{stroke:var(--rule)}
.keys{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.87rem;color:var(--soft);margin:.3rem 0}
.keys i{display:inline-block;width:.75em;height:.75em;border-radius:2px;margin-right:.4em}
.figures{display:flex;flex-wrap:wrap;gap:1rem 2.2rem;margin:1.5rem 0}.figures b{display:block;font-size:1.5rem}
.figures span{color:var(--soft);font-size:.87rem}
table{border-collapse:collapse;font-size:.87rem;width:100%}
td,th{padding:.25rem .7rem .25rem 0;text-align:left;border-bottom:1px solid var(--rule);vertical-align:top}
td{font-variant-numeric:tabular-nums}
"""


class Part(NamedTuple):
    """A piece of a bar or column. colour: its name in the style."""

    name: str
    value: float
    colour: str


class Bar(NamedTuple):
    """Pieces beside or on each other. figure: what is written behind them."""

    name: str
    parts: Sequence[Part]
    figure: str = ""


class Stretch(NamedTuple):
    """A part of a lane, as shares of its length. hint: what the pointer is told."""

    begin: float
    end: float
    colour: str
    hint: str


def bars(rows: Sequence[Bar], *, most: float | None = None) -> str:
    """Bars below each other, to one scale: `most`, or the longest of them, is all the width."""
    scale = (WIDTH - LABEL - FIGURE) / (most or max((sum(p.value for p in bar.parts) for bar in rows), default=0) or 1)
    out = []
    for number, bar in enumerate(rows):
        y, x = number * ROW, float(LABEL)
        out.append(_name(y + 17, bar.name))
        for part in bar.parts:
            out.append(_rect(x, y + 4, part.value * scale, ROW - 8, part.colour, f"{bar.name}, {part.name}"))
            x += part.value * scale
        out.append(_text(x + 8, y + 17, bar.figure))
    return legend(_keys(rows)) + _svg(len(rows) * ROW + 4, out)


def columns(rows: Sequence[Bar]) -> str:
    """Columns beside each other on a scale of whole numbers, each named below."""
    most = max((sum(part.value for part in bar.parts) for bar in rows), default=0) or 1
    wide, scale = (WIDTH - LEFT) / max(1, len(rows)), (HEIGHT - 34) / most
    out = [_text(LEFT - 8, 14, f"{most:g}", anchor="end", soft=True)]
    out.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH}" y1="{HEIGHT - 24}" y2="{HEIGHT - 24}"/>')
    for number, bar in enumerate(rows):
        x, y = LEFT + number * wide, float(HEIGHT - 24)
        for part in bar.parts:
            y -= part.value * scale
            hint = f"{bar.name}: {part.value:g} {part.name}"
            out.append(_rect(x + 2, y, wide - 4, part.value * scale, part.colour, hint))
        out.append(_text(x + wide / 2, HEIGHT - 8, bar.name, anchor="middle", soft=True))
    return legend(_keys(rows)) + _svg(HEIGHT, out)


def lanes(rows: Mapping[str, Sequence[Stretch]], marks: Mapping[float, str], keys: Iterable[tuple[str, str]]) -> str:
    """A lane each below each other. marks: words at shares of the length; keys: what colours mean."""
    wide, bottom = WIDTH - LABEL - 10, len(rows) * ROW
    out = []
    for share, words in marks.items():
        x = LABEL + share * wide
        out.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom}"/>')
        out.append(_text(x, bottom + 14, words, anchor="middle", soft=True))
    for number, (name, stretches) in enumerate(rows.items()):
        y = number * ROW
        out.append(_name(y + 17, name))
        for one in stretches:
            length = max(1.5, (one.end - one.begin) * wide)
            out.append(_rect(LABEL + one.begin * wide, y + 5, length, ROW - 10, one.colour, one.hint))
    return legend(keys) + _svg(bottom + 20, out)


def legend(keys: Iterable[tuple[str, str]]) -> str:
    """What colours mean: a name and the colour's each."""
    parts = "".join(
        f'<span><i style="background:var(--{colour})"></i>{escape(name)}</span>' for name, colour in keys
    )  # fmt: skip
    return f'<div class="keys">{parts}</div>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def figures(values: Mapping[str, str]) -> str:
    """Large figures with a word below each."""
    return '<div class="figures">' + "".join(
        f"<div><b>{escape(figure)}</b><span>{escape(name)}</span></div>" for name, figure in values.items()
    ) + "</div>"  # fmt: skip


def _keys(rows: Iterable[Bar]) -> list[tuple[str, str]]:
    """What the pieces mean, in the order of the colours."""
    keys = {(part.name, part.colour) for bar in rows for part in bar.parts}
    return sorted(keys, key=lambda key: STYLE.index(f"--{key[1]}:"))


def _svg(height: float, parts: Sequence[str]) -> str:
    return f'<div class="scroll"><svg viewBox="0 0 {WIDTH} {height:g}" role="img">{"".join(parts)}</svg></div>'


def _rect(x: float, y: float, width: float, height: float, colour: str, hint: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.2f}" height="{max(0.0, height):.2f}" rx="1.5" '
        f'style="fill:var(--{colour})"><title>{escape(hint)}</title></rect>'
    )


def _name(y: float, name: str) -> str:
    short = name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"
    return _text(LABEL - 10, y, short, anchor="end")


def _text(x: float, y: float, words: str, *, anchor: str = "start", soft: bool = False) -> str:
    kind = ' class="soft"' if soft else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(words)}</text>'
