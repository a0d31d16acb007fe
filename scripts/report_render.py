"""Blocks of a report, and the two ways to write them down: one HTML page, or Markdown.

The content (report_content.py) makes blocks of plain text; only this file knows markup, so that
nothing from a record can reach a page unescaped.
"""

import dataclasses
import html
import re

DAGGER = "\N{DAGGER}"


@dataclasses.dataclass
class Heading:
    level: int
    text: str
    anchor: str = ""


@dataclasses.dataclass
class Text:
    text: str
    kind: str = ""  # "", "warning", "note", "code"


@dataclasses.dataclass
class Bullets:
    items: list


@dataclasses.dataclass
class Facts:
    pairs: list  # (name, text)


@dataclasses.dataclass
class Sub:
    """A table cell with something small below it."""

    main: str
    small: str
    kind: str = ""  # "good", "bad": shown by words as well, never by colour alone


@dataclasses.dataclass
class Table:
    columns: list
    rows: list  # of lists of str or Sub
    left: int = 1  # so many columns are words, the others numbers
    caption: str = ""
    matrix: bool = False  # columns as wide as those of the next matrix, so that they line up


@dataclasses.dataclass
class Charts:
    items: list  # (stem of the file name, drawing.Chart)


@dataclasses.dataclass
class Details:
    title: str
    blocks: list
    opened: bool = False


@dataclasses.dataclass
class Links:
    """Within the page."""

    items: list  # (anchor, text)


@dataclasses.dataclass
class FileLink:
    text: str
    name: str
    href: str | None  # None: not next to the report


# ---- HTML ----------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark; --ink: #16181d; --soft: #565b66; --rule: #d4d7dc; --page: #fff;
  --panel: #f5f6f8; --link: #0b57a4; --bad: #a32a00; --good: #00694c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --soft: #a3a9b5; --rule: #3a3f49;
  --page: #14161a; --panel: #1d2026; --link: #7db8f5; --bad: #ff9a73; --good: #58cfa6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 1160px; color: var(--ink); background: var(--page);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .3em 0; }
h2 { font-size: 1.2rem; margin: 2.2em 0 .4em; padding-top: .5em;
  border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.4em 0 .3em; }
p { margin: .5em 0; max-width: 52em; }
a { color: var(--link); }
.note, figcaption, small { color: var(--soft); font-size: .85rem; }
.warning { border-left: 4px solid var(--bad); padding: .4em .8em; background: var(--panel); }
.good { color: var(--good); } .bad { color: var(--bad); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15em 1em; margin: .8em 0; }
dt { color: var(--soft); } dd { margin: 0; }
nav { display: flex; flex-wrap: wrap; gap: .2em 1em; }
.scroll { overflow-x: auto; margin: .8em 0; }
table.m { table-layout: fixed; } .m th { width: 6em; } .m th:first-child { width: 30em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem;
  overflow-wrap: normal; }
th, td { padding: .25em .7em; border-bottom: 1px solid var(--rule); text-align: right;
  vertical-align: top; white-space: nowrap; }
th { font-weight: 600; color: var(--soft); }
th.l, td.l { text-align: left; white-space: normal; min-width: 4.5em; }
td.w { min-width: 16em; overflow-wrap: anywhere; }
td small { display: block; line-height: 1.3; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr));
  gap: 1.2em; margin: .8em 0; align-items: start; }
figure { margin: 0; max-width: 520px; } figure.wide { grid-column: 1 / -1; max-width: none; }
svg { width: 100%; height: auto; display: block; }
details { margin: .6em 0; } summary { cursor: pointer; color: var(--link); }
code, pre { font: .85rem/1.45 ui-monospace, monospace; }
pre { background: var(--panel); padding: .6em .8em; overflow-x: auto; white-space: pre; }
footer { margin-top: 3em; color: var(--soft); font-size: .85rem; }
@media (max-width: 560px) { body { padding: .7rem; } td.w { min-width: 11em; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .35em; } }
"""


def page(title, blocks):
    """One self-contained HTML document: no script, nothing to fetch."""
    body = "\n".join(_html(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{body}\n</body>\n</html>\n"
    )


def _escape(text):
    return html.escape(str(text), quote=True)


def _html(block):
    return _HTML[type(block)](block)


def _html_heading(block):
    anchor = f' id="{_escape(block.anchor)}"' if block.anchor else ""
    return f"<h{block.level}{anchor}>{_escape(block.text)}</h{block.level}>"


def _html_text(block):
    if block.kind == "code":
        return f"<pre>{_escape(block.text)}</pre>"
    kind = f' class="{block.kind}"' if block.kind else ""
    return f"<p{kind}>{_escape(block.text)}</p>"


def _html_bullets(block):
    return "<ul>" + "".join(f"<li>{_escape(item)}</li>" for item in block.items) + "</ul>"


def _html_facts(block):
    pairs = "".join(f"<dt>{_escape(n)}</dt><dd>{_escape(t)}</dd>" for n, t in block.pairs)
    return f"<dl>{pairs}</dl>"


def _html_table(block):
    def kind(at, text=""):
        if at >= block.left:
            return ""
        return ' class="l w"' if len(text) > 30 else ' class="l"'

    def cell(at, value):
        if isinstance(value, Sub):
            tone = f' class="{value.kind}"' if value.kind else ""
            main = f"<span{tone}>{_escape(value.main)}</span>" if tone else _escape(value.main)
            small = f"<small>{_escape(value.small)}</small>" if value.small else ""
            return f"<td{kind(at, value.main + value.small)}>{main}{small}</td>"
        return f"<td{kind(at, str(value))}>{_escape(value)}</td>"

    # Not a <caption>: that would scroll away with a table wider than the page.
    caption = f'<p class="note">{_escape(block.caption)}</p>' if block.caption else ""
    head = "".join(
        f'<th scope="col"{kind(at)}>{_escape(name)}</th>' for at, name in enumerate(block.columns)
    )
    rows = "\n".join(
        "<tr>" + "".join(cell(at, value) for at, value in enumerate(row)) + "</tr>"
        for row in block.rows
    )
    matrix = ' class="m"' if block.matrix else ""
    return (f'{caption}<div class="scroll"><table{matrix}><thead><tr>{head}</tr></thead>\n'
            f"<tbody>{rows}</tbody></table></div>")


def _html_charts(block):
    figures = []
    for stem, chart in block.items:
        wide = ' class="wide"' if chart.wide else ""
        label = f'<svg role="img" aria-label="{_escape(chart.caption)}"'
        svg = chart.svg(re.sub(r"[^A-Za-z0-9-]", "-", stem)).replace("<svg", label, 1)
        figures.append(f"<figure{wide}>{svg}<figcaption>{_escape(chart.caption)}</figcaption>"
                       "</figure>")
    return '<div class="charts">' + "\n".join(figures) + "</div>"


def _html_details(block):
    opened = " open" if block.opened else ""
    inner = "\n".join(_html(b) for b in block.blocks)
    return f"<details{opened}><summary>{_escape(block.title)}</summary>\n{inner}\n</details>"


def _html_links(block):
    links = "".join(f'<a href="#{_escape(a)}">{_escape(text)}</a>' for a, text in block.items)
    return f"<nav>{links}</nav>"


def _html_file(block):
    name = _escape(block.name)
    if block.href is not None:
        name = f'<a href="{_escape(block.href)}">{name}</a>'
    return f"<p>{_escape(block.text)} <code>{name}</code></p>"


_HTML = {
    Heading: _html_heading, Text: _html_text, Bullets: _html_bullets, Facts: _html_facts,
    Table: _html_table, Charts: _html_charts, Details: _html_details, Links: _html_links,
    FileLink: _html_file,
}


# ---- Markdown ------------------------------------------------------------------------------------


def markdown(blocks, plots_folder="plots"):
    """The same as Markdown; charts are links to PNG files in plots_folder."""
    return "\n\n".join(_md(block, plots_folder) for block in blocks).strip() + "\n"


def _md_escape(text):
    text = re.sub(r"\s*[\r\n]+\s*", " ", str(text))
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)


def _md(block, folder):
    if isinstance(block, Heading):
        return "#" * block.level + " " + _md_escape(block.text)
    if isinstance(block, Text):
        if block.kind == "code":
            return "\n".join("    " + line for line in block.text.splitlines())
        return ("> " if block.kind == "warning" else "") + _md_escape(block.text)
    if isinstance(block, Bullets):
        return "\n".join("- " + _md_escape(item) for item in block.items)
    if isinstance(block, Facts):
        return "\n".join(f"- {_md_escape(name)}: {_md_escape(text)}" for name, text in block.pairs)
    if isinstance(block, Table):
        return _md_table(block)
    if isinstance(block, Charts):
        return "\n\n".join(
            f"![{_md_escape(chart.caption)}]({folder}/{stem}.png)" for stem, chart in block.items
        )
    if isinstance(block, Details):
        return "\n\n".join([f"**{_md_escape(block.title)}**",
                            *(_md(inner, folder) for inner in block.blocks)])
    if isinstance(block, FileLink):
        return f"{_md_escape(block.text)} {_md_escape(block.name)}"
    return ""  # Links: within a page only


def _md_table(block):
    def cell(value):
        if isinstance(value, Sub):
            value = f"{value.main} ({value.small})" if value.small else value.main
        return _md_escape(value)

    lines = [
        "| " + " | ".join(_md_escape(name) for name in block.columns) + " |",
        "|" + "|".join("---" if at < block.left else "---:" for at in range(len(block.columns)))
        + "|",
        *("| " + " | ".join(cell(value) for value in row) + " |" for row in block.rows),
    ]
    if block.caption:
        lines[:0] = [_md_escape(block.caption), ""]
    return "\n".join(lines)
