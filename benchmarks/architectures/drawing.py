"""Bars, lines and timelines as SVG, and the style of the page."""

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from benchmarks.architectures.outcome import Span

WIDTH, LABEL, ROW, FIGURE = 960, 210, 30, 160  # pixels: of all, of names, of a bar, of the figure behind it
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 12, 40  # around the axes of a line chart
LINE_ROW = 13  # of a process in a timeline
FLAME_ROW = 24  # of a level of a flame
LETTER = 7.2  # width of one, about

STYLE = """
:root{color-scheme:light dark;--bg:#fcfcfb;--ink:#1c1c1a;--soft:#6b6a66;--rule:#dddcd6;
--c0:#e34948;--c1:#eb6834;--c2:#eda100;--c3:#4a3aa7;--c4:#8fbbea;--c5:#1f5fbf;--c6:#1baf7a;--c7:#e87ba4}
@media(prefers-color-scheme:dark){:root{--bg:#1a1a19;--ink:#eeeeea;--soft:#a3a29b;--rule:#3a3a37;
--c0:#e66767;--c1:#d95926;--c2:#c98500;--c3:#9085e9;--c4:#5c7fa8;--c5:#5aa2f5;--c6:#199e70;--c7:#d55181}}
body{background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif;margin:0}
main{max-width:960px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;line-height:1.2}h2{margin-top:3rem;border-bottom:1px solid var(--rule)}
.headline{font-size:1.15rem}figure{margin:2rem 0;overflow-x:auto}figcaption,.note{color:var(--soft);font-size:.87rem}
svg{width:100%;min-width:660px;height:auto;display:block}svg text{fill:var(--ink);font:13px system-ui,sans-serif}
svg .on{fill:#fff;font-size:12px}svg .soft{fill:var(--soft);font-size:12px}svg .rule{stroke:var(--rule)}
.keys{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.87rem;color:var(--soft);margin:.3rem 0}
.keys i{display:inline-block;width:.75em;height:.75em;border-radius:2px;margin-right:.4em}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.87rem;width:100%}
td,th{padding:.25rem .7rem .25rem 0;text-align:left;border-bottom:1px solid var(--rule);vertical-align:top}
td{font-variant-numeric:tabular-nums}
"""


class Part(NamedTuple):
    """A piece of a bar. colour: its number in the palette."""

    name: str
    value: float
    colour: int


class Bar(NamedTuple):
    """A bar of pieces, and what is written behind it."""

    name: str
    parts: Sequence[Part]
    figure: str


def bars(rows: Sequence[Bar]) -> str:
    """Stacked bars below each other, all to one scale, with the meaning of their colours."""
    scale = (WIDTH - LABEL - FIGURE) / (max(sum(part.value for part in bar.parts) for bar in rows) or 1.0)
    out = []
    for number, bar in enumerate(rows):
        y, x = number * ROW, float(LABEL)
        out.append(_text(LABEL - 10, y + 18, bar.name, anchor="end"))
        for part in bar.parts:
            width = part.value * scale
            hint = f"{bar.name}, {part.name}: {part.value:.4g}"
            out.append(
                f"<rect x={x:.1f} y={y + 4} width={max(0.0, width - 1):.2f} height={ROW - 10} rx=1.5 "
                f'style="fill:var(--c{part.colour})"><title>{escape(hint)}</title></rect>'
            )
            x += width
        if x - LABEL < 2:
            out.append(f'<rect x={LABEL} y={y + 4} width=2 height={ROW - 10} style="fill:var(--c5)"></rect>')
        out.append(_text(max(x, LABEL + 2) + 8, y + 18, bar.figure))
    keys = dict.fromkeys((part.name, part.colour) for bar in rows for part in bar.parts)
    return legend(list(keys)) + _svg(len(rows) * ROW + 4, out)


def alone(picture: str) -> str:
    """A picture of `bars` as a file of its own, its legend above it."""
    start = picture.index("<svg")
    names = picture[:start].split("<span>")[1:]
    keys, x, y = [], 10.0, 6
    for entry in names:
        colour, words = entry.split("--c", 1)[1][0], entry.split("</i>", 1)[1].split("</span>", 1)[0]
        width = 32 + LETTER * len(words)
        if x + width > WIDTH:
            x, y = 10.0, y + 20
        keys.append(f'<rect x={x:.0f} y={y} width=10 height=10 rx=2 style="fill:var(--c{colour})"/>')
        keys.append(f"<text x={x + 15:.0f} y={y + 9} class=soft>{words}</text>")
        x += width
    top = y + 20
    body = picture[picture.index(">", start) + 1 : picture.rindex("</svg>")]
    height = float(picture.split(f'viewBox="0 0 {WIDTH} ', 1)[1].split('"', 1)[0]) + top
    page = f"<rect width={WIDTH} height={height:g} style='fill:var(--bg)'/>"
    inner = f"{page}{''.join(keys)}<g transform='translate(0 {top})'>{body}</g>"
    # XML, unlike HTML, wants quotes around every value.
    quoted = re.sub(r"(?<=[ ])([a-z-]+)=([^\s\"'/>]+)", r'\1="\2"', inner)
    style = STYLE.replace("svg text", "text").replace("svg .", ".")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}">'
        f"<style>{style}</style>{quoted}</svg>\n"
    )


def legend(keys: Sequence[tuple[str, int]]) -> str:
    """What colours mean."""
    parts = "".join(f'<span><i style="background:var(--c{colour})"></i>{escape(name)}</span>' for name, colour in keys)
    return f"<div class=keys>{parts}</div>"


def lines(series: Mapping[str, Sequence[tuple[float, float]]], x_name: str, y_name: str) -> str:
    """Lines on two logarithmic axes; each is named at its end."""
    height = 380
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_from, x_to = math.log10(min(xs)), math.log10(max(xs))
    y_from, y_to = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def px(x: float) -> float:
        return LEFT + (math.log10(x) - x_from) / (x_to - x_from) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        return TOP + (y_to - math.log10(y)) / (y_to - y_from) * (height - TOP - BOTTOM)

    out = []
    for power in range(y_from, y_to + 1):
        y = py(10.0**power)
        out.append(f"<line class=rule x1={LEFT} x2={WIDTH - RIGHT} y1={y:.1f} y2={y:.1f} />")
        out.append(_text(LEFT - 8, y + 4, f"${_plain(power)}", anchor="end", soft=True))
    for power in range(math.ceil(x_from), math.floor(x_to) + 1):
        out.append(_text(px(10.0**power), height - BOTTOM + 18, _plain(power), anchor="middle", soft=True))
    out.append(_text((LEFT + WIDTH - RIGHT) / 2, height - 4, x_name, anchor="middle", soft=True))
    ends: list[tuple[float, float, str, int]] = []
    for number, (name, points) in enumerate(series.items()):
        path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in points)
        out.append(f'<polyline points="{path}" style="fill:none;stroke:var(--c{number});stroke-width:2" />')
        out += [
            f'<circle cx={px(x):.1f} cy={py(y):.1f} r=3 style="fill:var(--c{number})">'
            f"<title>{escape(f'{name}, {x:,g} {x_name}: {y:.3g} {y_name}')}</title></circle>"
            for x, y in points
        ]
        ends.append((py(points[-1][1]), px(points[-1][0]), name, number))
    below = -math.inf
    for y, x, name, number in sorted(ends):
        below = max(y, below + 16)
        out.append(_text(x + 9, below + 4, name, colour=number))
    return _svg(height, out)


def timeline(spans: Sequence[Span], colours: Mapping[str, int], width_s: float) -> str:
    """Work of processes over time, a row a process, from the first on; `width_s` is as wide as the page."""
    began_s = min(span.at_s for span in spans)
    scale = (WIDTH - LABEL - 10) / width_s
    rows = {name: number for number, name in enumerate(dict.fromkeys(span.process for span in spans))}
    out = [_text(LABEL - 10, y * LINE_ROW + 11, name, anchor="end", soft=True) for name, y in rows.items()]
    for span in spans:
        hint = f"{span.process}, {span.stage}: {span.seconds * 1e3:.1f} ms"
        out.append(
            f"<rect x={LABEL + (span.at_s - began_s) * scale:.2f} y={rows[span.process] * LINE_ROW + 2} "
            f"width={max(0.3, span.seconds * scale):.2f} height={LINE_ROW - 3} "
            f'style="fill:var(--c{colours[span.stage]})"><title>{escape(hint)}</title></rect>'
        )
    bottom = len(rows) * LINE_ROW + 4
    out.append(_text(WIDTH - 10, bottom + 12, f"{width_s:.2f} s", anchor="end", soft=True))
    used = dict.fromkeys((span.stage, colours[span.stage]) for span in spans)
    return legend(list(used)) + _svg(bottom + 18, out)


def flame(profile: tuple[str, Mapping[str, Mapping[str, float]]], colours: Mapping[str, int]) -> str:
    """Time as width: the whole above, its processes below it, the stages of each below that. Seconds by process and
    stage."""
    name, processes = profile
    whole_s = sum(sum(stages.values()) for stages in processes.values()) or 1.0
    scale = WIDTH / whole_s
    out = [_box(0, 0, WIDTH, f"{name}: {whole_s * 1e3:,.0f} ms", f"{name}: {whole_s * 1e3:,.1f} ms", None)]
    x = 0.0
    for process, stages in processes.items():
        took_s = sum(stages.values())
        out.append(_box(x, 1, took_s * scale, process, f"{process}: {took_s * 1e3:,.1f} ms", None))
        for stage, seconds in sorted(stages.items(), key=lambda one: -one[1]):
            hint = f"{process}, {stage}: {seconds * 1e3:,.1f} ms"
            out.append(_box(x, 2, seconds * scale, stage, hint, colours[stage]))
            x += seconds * scale
    used = dict.fromkeys((stage, colours[stage]) for stages in processes.values() for stage in stages)
    return legend(list(used)) + _svg(3 * FLAME_ROW + 4, out)


def _box(x: float, level: int, width: float, words: str, hint: str, colour: int | None) -> str:
    fill = "var(--rule)" if colour is None else f"var(--c{colour})"
    y, most = level * FLAME_ROW, int((width - 8) / LETTER)
    shown = words if len(words) <= most else (words[: most - 1] + "…" if most >= 4 else "")
    kind = "" if colour is None else " class=on"
    text = f"<text x={x + 4:.1f} y={y + 15}{kind}>{escape(shown)}</text>" if shown else ""
    return (
        f'<rect x={x:.2f} y={y} width={max(0.2, width - 0.6):.2f} height={FLAME_ROW - 2} style="fill:{fill}">'
        f"<title>{escape(hint)}</title></rect>{text}"
    )


def ranges(rows: Mapping[str, tuple[float, float]], unit: str) -> str:
    """From a low to a high figure each, on one logarithmic scale; both are written behind."""
    least = math.floor(math.log10(min(low for low, _ in rows.values())))
    most = math.ceil(math.log10(max(high for _, high in rows.values())))

    def px(value: float) -> float:
        return LABEL + (math.log10(value) - least) / max(1, most - least) * (WIDTH - LABEL - FIGURE)

    bottom = len(rows) * ROW
    out = []
    for power in range(least, most + 1):
        x = px(10.0**power)
        out.append(f"<line class=rule x1={x:.1f} x2={x:.1f} y1=0 y2={bottom} />")
        out.append(_text(x, bottom + 14, f"{_plain(power)} {unit}", anchor="middle", soft=True))
    for number, (name, (low, high)) in enumerate(rows.items()):
        y = number * ROW
        out.append(_text(LABEL - 10, y + 18, name, anchor="end"))
        out.append(
            f"<rect x={px(low):.1f} y={y + 9} width={max(3.0, px(high) - px(low)):.1f} height={ROW - 20} rx=3 "
            f'style="fill:var(--c5)"><title>{escape(f"{name}: {low:.4g} to {high:.4g} {unit}")}</title></rect>'
        )
        digits = 1 if high < 100 else 0
        out.append(_text(WIDTH - FIGURE + 20, y + 18, f"{low:,.{digits}f} · {high:,.{digits}f}"))
    return _svg(bottom + 20, out)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table><tr>{head}</tr>{body}</table></div>"


def _plain(power: int) -> str:
    """A power of ten without an exponent."""
    return f"{10.0**power:,.{max(0, -power)}f}"


def _svg(height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role=img>{"".join(parts)}</svg>'


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", soft: bool = False, colour: int | None = None
) -> str:
    kind = " class=soft" if soft else ""
    style = f' style="fill:var(--c{colour})"' if colour is not None else ""
    return f"<text x={x:.1f} y={y:.1f} text-anchor={anchor}{kind}{style}>{escape(words)}</text>"
