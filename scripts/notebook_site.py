"""The course as a static web site: a page for each notebook, the syllabus first, no scripts, nothing from the net."""

from __future__ import annotations

import html
import os
import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat

TEMPLATES = Path(__file__).resolve().parent / "templates"
HIDDEN = {"install", "imports"}  # cells that a reader of the site need not see at once
FOR_AUTHORS = "## Writing a chapter"  # the syllabus's part for readers ends here


class Site:
    """Writes the pages of a course into a folder.

    Args:
        course: the folder of the notebooks, with its README.md.
        root: the checkout.
        home: the repository's address, for links to files that are no pages; where it is empty, they lead into the
            checkout.
    """

    def __init__(self, course: Path, root: Path, home: str):
        self.course, self.root, self.home = course, root, home

    def write(self, folder: Path, chapters, notebooks: list[Path]) -> list[Path]:
        """Make ``folder`` anew; returns the pages."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        self.folder, self.chapters = folder, [chapter for chapter in chapters if chapter.name]
        self.pages = {path.resolve(): path.relative_to(self.course).with_suffix(".html") for path in notebooks}
        self.pages[(self.course / "README.md").resolve()] = Path("index.html")
        style = pygments_style() + (TEMPLATES / "course.css").read_text(encoding="utf-8")
        (folder / "course.css").write_text(style, encoding="utf-8")
        syllabus = (self.course / "README.md").read_text(encoding="utf-8").partition(FOR_AUTHORS)[0]
        written = [self._page(self.course / "README.md", "Syllabus", self._markdown(syllabus, self.course))]
        for path in notebooks:
            notebook = nbformat.read(path, as_version=4)
            title = notebook.cells[0].source.split("\n")[0].lstrip("# ")
            written.append(self._page(path, title, self._notebook(notebook, path.parent)))
        return written

    def _page(self, source: Path, title: str, body: str) -> Path:
        from jinja2 import Environment, FileSystemLoader

        page = self.pages[source.resolve()]
        template = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=False).get_template("course.html.j2")
        available = [chapter for chapter in self.chapters if Path(f"{chapter.name}.html") in self.pages.values()]
        text = template.render(
            title=html.escape(title),
            body=body,
            here=page.stem,
            pages=available,
            home=html.escape(self.home),
            root="../" * (len(page.parts) - 1),
        )
        target = self.folder / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    # ---- what is on a page

    def _notebook(self, notebook, folder: Path) -> str:
        parts = []
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                parts.append(self._markdown(cell.source, folder))
            else:
                parts.append(self._code(cell))
        return "\n".join(parts)

    def _markdown(self, text: str, folder: Path) -> str:
        from nbconvert.filters import markdown2html

        page = re.sub(r'<a class="anchor-link"[^>]*>.*?</a>', "", str(markdown2html(text)))
        page = re.sub(r'(href|src)="([^"]*)"', lambda m: f'{m[1]}="{self._target(m[2], folder)}"', page)
        return focusable(page)

    def _code(self, cell) -> str:
        from nbconvert.filters import Highlight2HTML
        from nbconvert.preprocessors import CoalesceStreamsPreprocessor

        cell, _ = CoalesceStreamsPreprocessor().preprocess_cell(cell, {}, 0)  # lines printed one by one are one text
        source = f'<div class="input">{focusable(str(Highlight2HTML()(cell.source, "ipython3")))}</div>'
        hidden = HIDDEN & set(cell.metadata.get("tags", []))
        if hidden:
            source = f"<details><summary>{', '.join(sorted(hidden))}</summary>{source}</details>"
        return source + "".join(self._output(output) for output in cell.outputs)

    def _output(self, output) -> str:
        data = output.get("data", {})
        if output.output_type == "stream":
            body = f"<pre>{html.escape(output.text)}</pre>"
        elif "text/html" in data:
            body = re.sub(r"<style scoped>.*?</style>", "", "".join(data["text/html"]), flags=re.S)
            body = body.replace("<th></th>", "<td></td>")
        elif kind := next((kind for kind in data if kind.startswith("image/") and kind != "image/svg+xml"), ""):
            alt = html.escape(output.metadata.get(kind, {}).get("alt", ""))
            body = f'<img src="data:{kind};base64,{data[kind].strip()}" alt="{alt}">'
        elif output.output_type == "error":
            body = f"<pre>{html.escape(output.evalue)}</pre>"
        else:
            body = f"<pre>{html.escape(''.join(data.get('text/plain', '')))}</pre>"
        return f'\n<div class="output">{focusable(body)}</div>'

    # ---- where links lead

    def _target(self, target: str, folder: Path) -> str:
        """A link of a notebook as one of its page: to another page, to a copied picture, or to the repository."""
        parts = urlsplit(html.unescape(target))
        if parts.scheme or parts.netloc or not parts.path:
            return target
        path = (folder / unquote(parts.path)).resolve()
        here = self.folder / folder.resolve().relative_to(self.course.resolve())
        anchor = f"#{parts.fragment}" if parts.fragment else ""
        if path in self.pages:
            return os.path.relpath(self.folder / self.pages[path], here) + anchor
        if path.suffix.lower() in (".png", ".jpg", ".svg", ".gif", ".webp") and path.is_file():
            copy = self.folder / "images" / path.name
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, copy)
            return os.path.relpath(copy, here)
        if not self.home:
            return os.path.relpath(path, here) + anchor
        return f"{self.home}/blob/main/{path.relative_to(self.root.resolve()).as_posix()}{anchor}"


def focusable(page: str) -> str:
    """Code and tables that may scroll sideways can be reached with the keyboard."""
    table = r'<div class="wide" role="group" aria-label="table" tabindex="0">\1</div>'
    page = re.sub(r"(?s)(<table.*?</table>)", table, page)
    return re.sub(r"<pre(?=[ >])(?![^>]*tabindex)", '<pre tabindex="0"', page)


def pygments_style() -> str:
    """Pygments' colours, its violet dark enough to be read on grey."""
    from pygments.formatters import HtmlFormatter

    style = HtmlFormatter(style="default").get_style_defs(".highlight")
    return style.replace("background: #f8f8f8;", "").replace("#A2F", "#8412C9") + "\n"
