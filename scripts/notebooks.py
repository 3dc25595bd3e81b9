"""Build, check and publish the course.

    python scripts/notebooks.py build [NAME ...]     py to ipynb: run, clean, check (all where none is named)
    python scripts/notebooks.py check [NAME ...]     what must be true of them; runs nothing
    python scripts/notebooks.py refresh [NAME ...]   write links, install cell and footer anew, without running
    python scripts/notebooks.py pull NAME ...        ipynb to py, after editing in JupyterLab
    python scripts/notebooks.py html                 all of them as a web site in site/

A NAME is 01_video_is_data, 01_video_is_data_solutions, or the beginning of one. notebooks/README.md has the rules.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import re
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jupytext
import nbformat

ROOT = Path(__file__).resolve().parents[1]
COURSE = ROOT / "notebooks"
REPOSITORY = ""  # owner/name on the code host, named here alone: fill it in, run refresh; no links while it is empty
HOST = "https://github.com"
COLAB = "https://colab.research.google.com/github"

MOST_BYTES = 1_000_000  # of a notebook with its outputs
MOST_VIDEO_BYTES = 200_000  # of one embedded video
FEWEST_CELLS, MOST_CELLS = 30, 75
MOST_LINES, TYPICAL_LINES = 14, 7  # of a code cell: the longest, and the mean
CELL_SECONDS = 300  # after which a cell is given up
TAGS = ("links", "install", "imports", "parameters", "next")
FORMATS = "ipynb,py//py:percent"

HERE_ONLY = """\
import importlib.util

if importlib.util.find_spec("vidbench") is None:
    raise SystemExit("vidbench is not installed here; in its checkout, `make lab` opens the notebooks with it.")
""".strip()
FETCHING = """\
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("vidbench") is None:  # in Colab, say: fetch the kit with its mini set
    kit = ["--src", "kit", "--editable", "git+HOME.git#egg=vidbench[course]"]
    if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *kit]).returncode:
        raise SystemExit("vidbench could not be fetched; is there a network? In a checkout, `make lab` installs it.")
    sys.path.insert(0, "kit/vidbench")
""".strip()


# ---------------------------------------------------------------- which chapters there are


@dataclass(frozen=True)
class Chapter:
    """One row of the syllabus."""

    number: int
    title: str
    name: str  # empty where the chapter is still to come
    question: str
    time: str
    needs: str

    @property
    def heading(self) -> str:
        return f"# {self.number}. {self.title}: {self.question}"


def syllabus(text: str | None = None) -> list[Chapter]:
    """The rows of the table in notebooks/README.md."""
    text = (COURSE / "README.md").read_text(encoding="utf-8") if text is None else text
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 5 and cells[0].isdigit():
            link = re.fullmatch(r"\[(.+)\]\((.+)\.ipynb\)", cells[1])
            title, name = link.groups() if link else (cells[1].replace("(to come)", "").strip(), "")
            rows.append(Chapter(int(cells[0]), title, name, *cells[2:]))
    return rows


@dataclass(frozen=True)
class Pair:
    """A notebook and the text file it is made from."""

    name: str

    @property
    def is_solutions(self) -> bool:
        return self.name.endswith("_solutions")

    @property
    def folder(self) -> Path:
        return COURSE / "solutions" if self.is_solutions else COURSE

    @property
    def py(self) -> Path:
        return self.folder / "py" / f"{self.name}.py"

    @property
    def ipynb(self) -> Path:
        return self.folder / f"{self.name}.ipynb"

    @property
    def chapter(self) -> Chapter:
        name = self.name.removesuffix("_solutions")
        found = [chapter for chapter in syllabus() if chapter.name == name]
        if not found:
            raise SystemExit(f"{name} has no row with a link in the table of notebooks/README.md; give it one.")
        return found[0]


def all_pairs() -> list[Pair]:
    """Every notebook or text file of the course, chapters first."""
    chapters = {path.stem for path in (*COURSE.glob("[0-9]*.ipynb"), *COURSE.glob("py/[0-9]*.py"))}
    folder = COURSE / "solutions"
    solutions = {path.stem for path in (*folder.glob("[0-9]*.ipynb"), *folder.glob("py/[0-9]*.py"))}
    return [Pair(name) for name in (*sorted(chapters), *sorted(solutions))]


def find_pairs(names: list[str]) -> list[Pair]:
    """The pairs that are named, or begin so; all where none is named."""
    known = all_pairs()
    found = []
    for name in names:
        exact = [pair for pair in known if pair.name == name]
        some = exact or [pair for pair in known if pair.name.startswith(name)]
        if not some:
            raise SystemExit(f"no notebook is called {name!r}; there are {', '.join(pair.name for pair in known)}.")
        found += some
    return list(dict.fromkeys(found)) if names else known


# ---------------------------------------------------------------- cells that are the same everywhere


def home() -> str:
    """The repository's address; empty while it has none."""
    return f"{HOST}/{REPOSITORY}" if REPOSITORY else ""


def install() -> str:
    """The third cell: fetches the kit where it is not there, once it can be fetched from somewhere."""
    return FETCHING.replace("HOME", home()) if REPOSITORY else HERE_ONLY


def links(pair: Pair) -> str:
    """The second cell: what a chapter takes, and where else to read it."""
    chapter, path = pair.chapter, pair.ipynb.relative_to(ROOT).as_posix()
    colab = [f"[Open in Colab]({COLAB}/{REPOSITORY}/blob/main/{path})"] if REPOSITORY else []
    if pair.is_solutions:
        return " · ".join([f"[The chapter](../{chapter.name}.ipynb)", "[Syllabus](../README.md)", *colab])
    places = [*colab, "[Syllabus](README.md)", f"[Solutions](solutions/{chapter.name}_solutions.ipynb)"]
    return (
        f"**Time** {chapter.time} · **You need** {chapter.needs} · **Download** none · **Device** CPU will do\n\n"
        + " · ".join(places)
    )


def footer(pair: Pair) -> str:
    """The last cell: where to go on."""
    chapter = pair.chapter
    if pair.is_solutions:
        return (
            f"Back to [{chapter.number}. {chapter.title}](../{chapter.name}.ipynb) or to the [syllabus](../README.md)."
        )
    text = f"[Solutions](solutions/{chapter.name}_solutions.ipynb) · "
    for later in syllabus():
        if later.number > chapter.number and later.name and (COURSE / "py" / f"{later.name}.py").exists():
            return text + f"Next: [{later.number}. {later.title}]({later.name}.ipynb)"
    if all(later.name for later in syllabus()):
        pages = "[pages to look things up in](../docs/README.md)"
        return f"{text}This was the last chapter; [all of them](README.md), and {pages}"
    return text + "Next: the chapters of the [syllabus](README.md) that are still to come"


def refresh(notebook, pair: Pair) -> None:
    """Write the cells tagged links, install and next."""
    texts = {"links": links(pair), "install": install(), "next": footer(pair)}
    for cell in notebook.cells:
        for tag in tags_of(cell):
            cell.source = texts.get(tag, cell.source)


def tags_of(cell) -> list[str]:
    return list(cell.metadata.get("tags", []))


# ---------------------------------------------------------------- reading, running, writing


def read_text(pair: Pair):
    """The notebook that the text file describes, without outputs."""
    return jupytext.read(pair.py, fmt="py:percent")


def clean(notebook):
    """Leave what is the same on every build: no times, ids, versions, addresses or widget states."""
    notebook.metadata = nbformat.from_dict(
        {
            "jupytext": {"formats": FORMATS},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict = {}
    count = 0
    ran = any(cell.get("execution_count") for cell in notebook.cells)
    for cell in notebook.cells:
        tags = tags_of(cell)
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        cell.id = cell_id(cell, seen)
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count if ran else None
            cell.outputs = [cleaned for output in cell.outputs if (cleaned := clean_output(output, count))]
    return notebook


def cell_id(cell, seen: dict[str, int]) -> str:
    """From the cell's own text, so that a new cell above does not change it."""
    digest = hashlib.sha256(f"{cell.cell_type} {cell.source}".encode()).hexdigest()[:8]
    seen[digest] = seen.get(digest, 0) + 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def clean_output(output, count: int):
    """One output without what differs between builds; ``None`` where nothing is left."""
    if output.output_type == "execute_result":
        output.execution_count = count
    if output.output_type == "stream":
        output.text = without_addresses(output.text)
        return output if output.text else None
    data = output.get("data")
    if data is None:
        return output
    if any(kind != "text/plain" and not kind.startswith("application/vnd.jupyter.widget") for kind in data):
        data.pop("application/vnd.jupyter.widget-view+json", None)  # dead without its kernel; its stand-in stays
    for kind in ("text/plain", "text/html"):
        if kind in data:
            data[kind] = without_addresses(data[kind])
    return output


def without_addresses(text: str) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]{6,}", "", text)


def run(notebook, folder: Path, env: dict[str, str] | None = None, **options):
    """Execute every cell in a fresh kernel that starts in ``folder``; a cell that fails raises."""
    return client(notebook, folder, **options).execute(**({"env": env} if env else {}))


def client(notebook, folder: Path, **options):
    """What executes a notebook in a kernel that starts in ``folder``."""
    from nbclient import NotebookClient

    return NotebookClient(
        notebook, resources={"metadata": {"path": str(folder)}}, timeout=CELL_SECONDS, kernel_name="python3",
        store_widget_state=False, record_timing=False, coalesce_streams=True, **options,
    )  # fmt: skip


def write(notebook, pair: Pair) -> None:
    """Both files of a pair, from one notebook."""
    write_notebook(notebook, pair)
    write_text(notebook, pair)


def write_notebook(notebook, pair: Pair) -> None:
    nbformat.validate(notebook)
    pair.ipynb.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def write_text(notebook, pair: Pair) -> None:
    plain = nbformat.from_dict({**notebook, "metadata": {"jupytext": {"formats": FORMATS}}})
    plain.metadata.jupytext["notebook_metadata_filter"] = "jupytext,-all"
    plain.metadata.jupytext["cell_metadata_filter"] = "tags,-all"
    text = jupytext.writes(plain, fmt="py:percent")
    text = re.sub(r"\A# ---\n.*?# ---\n", HEADER, text, flags=re.S)
    pair.py.parent.mkdir(parents=True, exist_ok=True)
    pair.py.write_text(text, encoding="utf-8")


HEADER = f"""\
# ---
# jupyter:
#   jupytext:
#     formats: {FORMATS}
#     text_representation:
#       extension: .py
#       format_name: percent
# ---
"""


def build(pair: Pair) -> None:
    """Text to notebook: fill in, run, clean, write."""
    notebook = read_text(pair)
    refresh(notebook, pair)
    run(notebook, pair.folder)
    write(clean(notebook), pair)


def pull(pair: Pair) -> None:
    """Notebook to text."""
    write_text(nbformat.read(pair.ipynb, as_version=4), pair)


def refresh_files(pair: Pair) -> None:
    """The generated cells in both files, each by itself; outputs and edits stay."""
    if pair.py.exists():
        text = read_text(pair)
        refresh(text, pair)
        write_text(text, pair)
    if pair.ipynb.exists():
        notebook = nbformat.read(pair.ipynb, as_version=4)
        refresh(notebook, pair)
        write_notebook(clean(notebook), pair)


# ---------------------------------------------------------------- what must be true of a notebook


def problems(pair: Pair) -> list[str]:
    """Everything that is wrong with a notebook, a sentence each; runs nothing."""
    missing = [path.relative_to(ROOT) for path in (pair.py, pair.ipynb) if not path.exists()]
    if missing:
        return [f"{path} does not exist; run build" for path in missing]
    notebook = nbformat.read(pair.ipynb, as_version=4)
    found = [*pair_problems(notebook, read_text(pair)), *generated_problems(notebook, pair), *run_problems(notebook)]
    found += size_problems(notebook, pair.ipynb.stat().st_size) + private_problems(notebook) + alt_problems(notebook)
    found += link_problems(markdown_of(notebook), pair.folder) + formula_problems(markdown_of(notebook))
    solutions = Pair(f"{pair.name}_solutions")
    if pair.is_solutions:
        found += number_problems(notebook)
    else:
        found += order_problems(notebook, pair.chapter)
        found += number_problems(notebook, code_of(read_text(solutions)) if solutions.py.exists() else "")
    return [f"{pair.name}: {problem}" for problem in found]


def markdown_of(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def code_of(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def pair_problems(notebook, text) -> list[str]:
    """Whether both files have the same cells."""
    ours = [(cell.cell_type, cell.source.strip(), tags_of(cell)) for cell in notebook.cells]
    theirs = [(cell.cell_type, cell.source.strip(), tags_of(cell)) for cell in text.cells]
    for number, (one, other) in enumerate(zip(ours, theirs), 1):
        if one != other:
            return [f"cell {number} differs between .ipynb and .py ({one[1][:40]!r}); run build or pull"]
    if len(ours) != len(theirs):
        return [f"the .ipynb has {len(ours)} cells, the .py {len(theirs)}; run build or pull"]
    return []


def generated_problems(notebook, pair: Pair) -> list[str]:
    """Whether the cells that build writes are what it would write now."""
    fresh = nbformat.from_dict(notebook)
    before = [cell.source for cell in notebook.cells]
    refresh(fresh, pair)
    stale = [tags_of(cell) for cell, source in zip(fresh.cells, before) if cell.source != source]
    return [f"the cell tagged {', '.join(tags)} is not what refresh writes; run refresh" for tags in stale]


def run_problems(notebook) -> list[str]:
    """Whether it was run to its end without an error, and its metadata are clean."""
    found = []
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                found.append(f"cell {number} ends with {output.ename}: {output.evalue[:100]}")
            if output.get("name") == "stderr":
                found.append(f"cell {number} writes to stderr: {output.text[:100]!r}")
    if nbformat.writes(clean(nbformat.from_dict(notebook))) != nbformat.writes(notebook):
        found.append("its metadata are not what build leaves; run build")
    return found


def outputs_of(notebook):
    """``(cell number, kind, content, metadata of that kind)`` of every displayed output."""
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            for kind, content in output.get("data", {}).items():
                text = content if isinstance(content, str) else str(content)
                yield number, kind, text, output.get("metadata", {}).get(kind, {})
            if output.output_type == "stream":
                yield number, "stream", output.text, {}


def size_problems(notebook, num_bytes: int) -> list[str]:
    found = []
    if num_bytes > MOST_BYTES:
        found.append(f"the .ipynb has {num_bytes} bytes; at most {MOST_BYTES} belong in git")
    for number, kind, content, _ in outputs_of(notebook):
        videos = [content] if kind.startswith("video/") else re.findall(r"data:video/[^\"')\s]+", content)
        for video in videos:
            if len(video) * 3 // 4 > MOST_VIDEO_BYTES:
                found.append(f"cell {number} embeds a video of {len(video) * 3 // 4} bytes; limit {MOST_VIDEO_BYTES}")
    return found


def private_problems(notebook) -> list[str]:
    """Paths of the machine that ran it."""
    private = [str(ROOT), str(Path.home()) + "/", "/tmp/", sys.prefix]
    found = []
    for number, kind, content, _ in outputs_of(notebook):
        if not kind.startswith(("image/", "video/")):
            text = re.sub(r"data:[\w/;+.-]+,[^\"')\s]*", "", content)
            found += [f"cell {number} shows a path of this machine" for path in private if path in text]
    return found


def alt_problems(notebook) -> list[str]:
    """Pictures and videos without words for those who cannot see them."""
    found = [f"a picture has no alt text: {link}" for link in re.findall(r"!\[\s*\]\([^)]*\)", markdown_of(notebook))]
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            data, metadata = output.get("data", {}), output.get("metadata", {})
            html = "".join(data.get("text/html", ""))
            for kind in data:
                told = str(metadata.get(kind, {}).get("alt", "")).strip() or re.search(r"alt=\"[^\"]", html)
                if kind.startswith("image/") and not told:
                    found.append(f"cell {number} shows a picture without alt text")
            for tag in re.findall(r"<(?:img|video|canvas)\b[^>]*>", html):
                if not re.search(r"(?:alt|aria-label)\s*=\s*(?:\"[^\"]|'[^'])", tag):
                    found.append(f"cell {number} shows {tag[:40]}... without alt or aria-label")
    return found


def formula_problems(markdown: str) -> list[str]:
    """TeX, which only some places draw: the web site runs no scripts, and code hosts differ."""
    formulas = re.findall(r"\$[^$\n]+\$", re.sub(r"(?ms)^```.*?^```|`[^`\n]*`", " ", markdown))
    return [f"{formula!r} is TeX; write it as code or in words" for formula in formulas]


def order_problems(notebook, chapter: Chapter) -> list[str]:
    """Whether the cells of a chapter come in the agreed order and size."""
    cells, found = notebook.cells, []
    if not cells or cells[0].source.split("\n")[0] != chapter.heading:
        found.append(f"its first line is not {chapter.heading!r}, as notebooks/README.md has it")
    tagged = [tag for cell in cells for tag in tags_of(cell)]
    if tagged != list(TAGS):
        found.append(f"its tagged cells are {', '.join(tagged)}; expected {', '.join(TAGS)} in this order")
    elif any(tags_of(cells[1 + place]) != [tag] for place, tag in enumerate(TAGS[:4])):
        found.append(f"the cells after the first are not {', '.join(TAGS[:4])}")
    if not FEWEST_CELLS <= len(cells) <= MOST_CELLS:
        found.append(f"it has {len(cells)} cells; {FEWEST_CELLS} to {MOST_CELLS} make a chapter")
    return found + code_problems(cells) + ending_problems(markdown_of(notebook))


def code_problems(cells) -> list[str]:
    found, lengths = [], []
    for number, cell in enumerate(cells, 1):
        if cell.cell_type != "code" or "install" in tags_of(cell):
            continue
        tree = ast.parse(cell.source)
        if "imports" in tags_of(cell):
            if not all(isinstance(line, ast.Import | ast.ImportFrom) for line in tree.body):
                found.append(f"cell {number} is tagged imports and does more than import")
            continue
        if "parameters" in tags_of(cell) and not {"DATASET", "DATA_DIR"} <= assigned(tree):
            found.append(f"cell {number} is tagged parameters and does not set DATASET and DATA_DIR")
        lengths.append(sum(bool(line.strip()) for line in cell.source.splitlines()))
        if lengths[-1] > MOST_LINES:
            found.append(f"cell {number} has {lengths[-1]} lines; more than {MOST_LINES} belong in the library")
    if lengths and statistics.mean(lengths) > TYPICAL_LINES:
        found.append(f"its cells have {statistics.mean(lengths):.1f} lines on average; about five are meant")
    return found


def assigned(tree: ast.Module) -> set[str]:
    targets = [target for line in tree.body if isinstance(line, ast.Assign) for target in line.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def ending_problems(markdown: str) -> list[str]:
    parts = re.split(r"(?m)^## +", markdown)[1:]
    sections = {part.partition("\n")[0].strip(): part.partition("\n")[2] for part in parts}
    found = [f"it has no section ## {name}" for name in ("Summary", "Exercises") if name not in sections]
    exercises = re.findall(r"(?m)^(\d+)\. +\S", sections.get("Exercises", ""))
    if "Exercises" in sections and exercises != ["1", "2", "3"]:
        found.append(f"its exercises are numbered {', '.join(exercises) or 'not at all'}; expected 1, 2, 3")
    return found


# ---------------------------------------------------------------- numbers in prose

NAMES = (  # what has digits and is no measurement
    r"\b[23]-?D\b",  # 2-D, 3D
    r"\b\d-?bits?\b",  # 8-bit
    r"\b\d:\d:\d\b",  # 4:2:0, chroma subsampling
    r"\b95 ?% (?:\w+ )?intervals?\b",  # the convention of this project
    r"\b(?:chapters?|exercises?) \d+\b",
    r"\b[A-Za-z][A-Za-z.+()-]*[.-]?\d[\w.()+-]*",  # a word that begins with a letter: H.264, top-5, R(2+1)D
)
COUNTS = "half|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|hundred"
COMPARATIVES = "as|more|less|fewer|faster|slower|larger|smaller|bigger|longer|shorter"
MEASURING = (  # numbers in words that only a cell can know
    rf"\b(?:\w+ty|{COUNTS}|one)[ -]per ?cent\b",
    rf"\b(?:{COUNTS})(?:fold|[ -]times) +(?:{COMPARATIVES})\b",
    r"\b(?:twice|thrice) as (?:fast|slow|large|small|big|long|short|many|much|accurate|good)\b",
)


def number_problems(notebook, exercise_code: str = "") -> list[str]:
    """Numbers in prose that no neighbouring code cell holds: they repeat an output and go stale.

    Args:
        exercise_code: numerals in it may also stand below the heading Exercises.
    """
    cells, found, below = notebook.cells, [], ""
    for place, cell in enumerate(cells):
        if cell.cell_type != "markdown" or set(tags_of(cell)) & {"links", "next"}:
            continue
        below = exercise_code if re.search(r"(?m)^## +Exercises", cell.source) else below
        code = below + "\n" + neighbouring_code(cells, place)
        found += [
            f"cell {place + 1} has a number in its prose: {stray!r}" for stray in stray_numbers(cell.source, code)
        ]
    return found


def neighbouring_code(cells, place: int) -> str:
    """The nearest code cell before and after."""
    before = next((cell.source for cell in reversed(cells[:place]) if cell.cell_type == "code"), "")
    after = next((cell.source for cell in cells[place + 1 :] if cell.cell_type == "code"), "")
    return before + "\n" + after


def stray_numbers(markdown: str, code: str) -> list[str]:
    """Numbers in a text that are neither names nor literals of the code.

    >>> stray_numbers("H.264 at 25 frames per second takes 31 kB, twice as large.", "rate = 25")
    ['31', 'twice as large']
    """
    text = prose_of(markdown)
    literals = {plain(found) for found in re.findall(r"(?<![\w.])\d[\d_]*(?:\.\d+)?", code)}
    numerals = re.findall(r"\d[\d_]*(?:[.,]\d+)*", without_names(text))
    found = [numeral for numeral in numerals if plain(numeral) not in literals]
    return found + [match.group() for pattern in MEASURING for match in re.finditer(pattern, text, re.I)]


def without_names(text: str) -> str:
    for name in NAMES:
        text = re.sub(name, " ", text)
    return text


def plain(numeral: str) -> str:
    """``1,000.0`` and ``1_000`` are the same number; ``1.2.3`` is none."""
    digits = numeral.replace(",", "").replace("_", "")
    return f"{float(digits):.12g}" if digits.count(".") < 2 else digits


def prose_of(markdown: str) -> str:
    """A text without headings, fenced code, list numbers, addresses of links, and code that holds a name."""
    text = re.sub(r"(?ms)^```.*?^```", " ", markdown)
    text = re.sub(r"(?m)^#+ .*$|^\s*\d+\. ", " ", text)
    text = re.sub(r"`[^`\n]*[A-Za-z_][^`\n]*`", " ", text)
    return re.sub(r"\]\([^)]*\)", "]", text)


# ---------------------------------------------------------------- links


def link_problems(markdown: str, folder: Path) -> list[str]:
    """Links to files or headings that do not exist, and web addresses that are not well formed."""
    text = re.sub(r"(?ms)^```.*?^```|`[^`\n]*`", " ", markdown)
    targets = re.findall(r"\]\(\s*<?([^)\s>]*)>?[^)]*\)", text) + re.findall(r"(?:href|src)=\"([^\"]*)\"", text)
    return [problem for target in targets if (problem := link_problem(target, markdown, folder))]


def link_problem(target: str, markdown: str, folder: Path) -> str:
    """What is wrong with one link, or an empty string."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        well_formed = parts.scheme == "https" and re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc)
        return "" if well_formed else f"{target!r} is no https address"
    if not target:
        return "a link leads nowhere"
    path = folder / unquote(parts.path)
    if parts.path and not path.exists():
        return f"{target!r} leads to no file"
    if parts.fragment:
        page = markdown_of_file(path) if parts.path else markdown
        if unquote(parts.fragment) not in anchors(page):
            return f"{target!r} leads to no heading"
    return ""


def markdown_of_file(path: Path) -> str:
    if path.suffix == ".ipynb":
        return markdown_of(nbformat.read(path, as_version=4))
    return path.read_text(encoding="utf-8") if path.suffix == ".md" else ""


def anchors(markdown: str) -> set[str]:
    """The anchors of a page's headings, as JupyterLab and as code hosts write them."""
    headings = re.findall(r"(?m)^#+ +(.+?) *$", re.sub(r"(?ms)^```.*?^```", " ", markdown))
    plain_headings = [re.sub(r"[`*_]|\]\([^)]*\)|\[", "", heading) for heading in headings]
    hosts = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain_headings}
    return hosts | {heading.replace(" ", "-") for heading in plain_headings}


# ---------------------------------------------------------------- commands


def report(found: list[str]) -> int:
    for problem in found:
        print(problem)
    return 1 if found else 0


def build_all(pairs: list[Pair]) -> int:
    for pair in pairs:
        start = time.perf_counter()
        build(pair)
        size = pair.ipynb.stat().st_size / 1000
        print(f"{pair.name}: run in {time.perf_counter() - start:.0f} s, {size:.0f} kB", flush=True)
    return report([problem for pair in pairs for problem in problems(pair)])


def write_site(folder: Path = ROOT / "site") -> list[Path]:
    """The course as web pages in ``folder``, which is made anew."""
    from notebook_site import Site

    notebooks = [pair.ipynb for pair in all_pairs() if pair.ipynb.exists()]
    return Site(COURSE, ROOT, home()).write(folder, syllabus(), notebooks)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("build", "check", "refresh", "pull", "html"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args(arguments)
    if options.command == "html":
        pages = write_site()
        print(f"{len(pages)} pages; open {pages[0].relative_to(ROOT)}")
        return 0
    pairs = find_pairs(options.names)
    if options.command == "pull" and not options.names:
        parser.error("pull overwrites text files: name the notebooks")
    if options.command == "build":
        return build_all(pairs)
    for pair in pairs:
        if options.command in ("refresh", "pull"):
            {"refresh": refresh_files, "pull": pull}[options.command](pair)
    return report([problem for pair in pairs for problem in problems(pair)])


if __name__ == "__main__":
    sys.exit(main())
