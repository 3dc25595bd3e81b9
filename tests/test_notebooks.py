"""The course: every chapter runs offline, with its solutions, and what the checks refuse is refused."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import chromium
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
MEBIBYTE = 2**20
GROWTH = 96 * MEBIBYTE  # between the end of the first and of the second run; a leaked clip or model is more
CPU_SECONDS = 360  # of one run: under three minutes on two cores

NO_NETWORK = """
import sys

LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "", None)

def refuse(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in LOCAL:
        raise OSError(f"the tests have no network; something asked for {arguments[1][0]}")
    if event == "socket.getaddrinfo" and arguments[0] not in LOCAL:
        raise OSError(f"the tests have no network; something asked for {arguments[0]}")

sys.addaudithook(refuse)
"""

MEASURE = """
import ctypes, gc, json, resource, psutil
gc.collect()
try:
    ctypes.CDLL("libc.so.6").malloc_trim(0)
except OSError:
    pass
spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
seconds = sum(use.ru_utime + use.ru_stime for use in spent)
print(json.dumps({"rss": psutil.Process().memory_info().rss, "seconds": seconds}))
"""


def load_script():
    folder = str(ROOT / "scripts")
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location("vidbench_notebooks", ROOT / "scripts" / "notebooks.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


tool = load_script()
PAIRS = tool.all_pairs()
CHAPTERS = [pair for pair in PAIRS if not pair.is_solutions]


# ---------------------------------------------------------------- the chapters as they are


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_a_notebook_is_in_step_and_keeps_the_rules(pair):
    assert tool.problems(pair) == []


def test_every_chapter_has_solutions_and_a_row_in_the_syllabus():
    chapters = {pair.name for pair in PAIRS if not pair.is_solutions}
    assert chapters == {pair.name.removesuffix("_solutions") for pair in PAIRS if pair.is_solutions}
    rows = tool.syllabus()
    assert {row.name for row in rows if row.name} == chapters
    assert [row.number for row in rows] == list(range(1, 11))
    assert all(row.name.startswith(f"{row.number:02d}_") for row in rows if row.name)


def test_the_syllabus_links_to_what_exists():
    text = (tool.COURSE / "README.md").read_text(encoding="utf-8")
    assert tool.link_problems(text, tool.COURSE) == []


def kernel_environment(tmp_path) -> dict[str, str]:
    """No network, caches and results of its own."""
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(NO_NETWORK)
    own = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(guard), os.environ.get("PYTHONPATH")])),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "VIDBENCH_WORK_DIR": str(tmp_path / "work"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    return {**os.environ, **own}


def read_only_copy(pair, folder: Path) -> Path:
    """A notebook alone in a folder that cannot be written to (where the system keeps to that)."""
    folder.mkdir()
    shutil.copy(pair.ipynb, folder)
    folder.chmod(0o555)
    return folder


def errors_of(notebook) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [f"{output.ename}: {output.evalue}" for output in outputs if output.output_type == "error"]


def measurements(notebook) -> list[dict]:
    printed = [output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])]
    return [json.loads(text.strip().splitlines()[-1]) for text in printed if '"rss"' in text]


class Kernel:
    """One kernel for all that is asked of a chapter: starting one, with its imports, takes longer than most cells."""

    def __init__(self, pair, folder: Path):
        self.pair, self.folder = pair, read_only_copy(pair, folder / "course")
        self.client, self.environment = tool.client(new_notebook(), self.folder), kernel_environment(folder)
        self.spoilt = False

    def run(self, notebook) -> None:
        """Every cell, in the kernel as it is; a cell that fails raises, and one that was given up spoils the kernel."""
        if self.spoilt:
            pytest.fail("the kernel of this chapter was given up in an earlier test")
        self.client.nb, self.spoilt = notebook, True
        try:
            self.client.execute(env=self.environment, cleanup_kc=False)
        except CellExecutionError:
            self.spoilt = False
            raise
        self.spoilt = False

    def run_without_names(self, notebook) -> None:
        """Every cell, after all names of earlier cells were taken away; imported modules stay loaded."""
        self.run(new_notebook(cells=[new_code_cell("%reset_selective -f .")]))
        self.run(notebook)


@pytest.fixture(scope="module")
def kernel(request, tmp_path_factory):
    """The kernel of the chapter that is the parameter; the tests of a chapter run one after the other."""
    made = Kernel(request.param, tmp_path_factory.mktemp("kernel"))
    with made.client.setup_kernel(env=made.environment):
        yield made


def of_chapters(*numbers: str):
    pairs = [pair for pair in CHAPTERS if not numbers or pair.name[:2] in numbers]
    return pytest.mark.parametrize("kernel", pairs, indirect=True, ids=lambda pair: pair.name)


@pytest.mark.slow
@pytest.mark.timeout(600)
@of_chapters()
def test_a_chapter_runs_offline_in_a_read_only_folder_and_again_without_growing(kernel):
    """The three chapters that take longest run once: ``benchmarks/training.py`` measures whether a training grows."""
    notebook = tool.read_text(kernel.pair)
    once = [cell for cell in notebook.cells if cell.cell_type == "code"] + [new_code_cell(MEASURE)]
    again = [] if kernel.pair.name[:2] in ("08", "09", "10") else [shortened(cell) for cell in once]
    notebook.cells = [nbformat.from_dict(cell) for cell in (*once, *again)]
    kernel.run(notebook)
    assert errors_of(notebook) == []
    first, *second = measurements(notebook)
    assert first["seconds"] < CPU_SECONDS
    assert len(second) == bool(again)
    assert all(later["rss"] - first["rss"] < GROWTH for later in second)
    left = [path.name for path in kernel.folder.iterdir()]
    assert left == [kernel.pair.ipynb.name], "it left something beside the notebook"


def shortened(cell):
    """The same cell; the one with the settings of every run, where they may limit it, with fewer videos."""
    source = re.sub(r'^OPTIONS = \{\}(?=.*"limit")', 'OPTIONS = {"limit": 36}', cell.source, flags=re.MULTILINE)
    return nbformat.from_dict({**cell, "source": source})


@pytest.mark.shared
@pytest.mark.slow
@of_chapters("01", "02", "03", "09")
def test_a_chapter_runs_on_real_data_by_changing_its_one_cell(kernel, shared_dir):
    notebook = with_settings(kernel.pair, "ucf101", str(shared_dir / "data" / "ucf101"))
    kernel.run_without_names(notebook)
    assert errors_of(notebook) == []


@pytest.mark.slow
@of_chapters()
def test_a_dataset_that_was_not_fetched_is_one_sentence_in_its_cell(kernel, tmp_path):
    notebook = with_settings(kernel.pair, "ucf101", str(tmp_path / "nowhere"))
    sentence = the_sentence(notebook, kernel.run_without_names)
    assert re.search(r"UCF101 is not here: there is no folder .*nowhere\. Set DATA_DIR", sentence)


@pytest.mark.slow
@of_chapters()
def test_solutions_run_offline(kernel):
    (solutions,) = (pair for pair in PAIRS if pair.is_solutions and pair.name.startswith(kernel.pair.name))
    notebook = tool.read_text(solutions)
    kernel.run_without_names(notebook)
    assert errors_of(notebook) == []


def test_a_plain_nbmake_run_passes_too():
    """What a reader has who runs ``pytest --nbmake`` on a notebook."""
    pair = next(pair for pair in PAIRS if pair.name == "01_video_is_data_solutions")
    command = [sys.executable, "-m", "pytest", "--nbmake", "--nbmake-timeout=300", "-q", "-p", "no:cacheprovider"]
    before = pair.ipynb.read_bytes()
    done = subprocess.run([*command, "-o", "addopts=", str(pair.ipynb)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "1 passed" in done.stdout
    assert pair.ipynb.read_bytes() == before


def test_the_kernels_of_these_tests_have_no_network(tmp_path):
    source = "import urllib.request\nurllib.request.urlopen('https://example.org', timeout=5)"
    notebook = new_notebook(cells=[new_code_cell(source)])
    tool.run(notebook, tmp_path, env=kernel_environment(tmp_path), allow_errors=True)
    assert "the tests have no network" in errors_of(notebook)[0]


# ---------------------------------------------------------------- bad input ends as a sentence


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("open_dataset('ucf101', '/nowhere')", r"UCF101 is not here: there is no folder .*nowhere\. Set DATA_DIR"),
        ("open_dataset('ucf102')", r"No dataset is called 'ucf102'\. Did you mean 'ucf101'\?"),
        ("read_clip('absent.mp4', [0])", r"^absent\.mp4: missing: no such file$"),
        ("load_model('mini2d.vidmini_v1', device='cuda')", "cuda|CUDA|GPU"),
    ],
)
def test_a_mistake_in_a_cell_shows_one_sentence_and_no_traceback(tmp_path, source, sentence):
    imports = (
        "import torch\ntorch.cuda.is_available = lambda: False\n"
        "from vidbench.notebook import open_dataset\nfrom vidbench.data.decode import read_clip\n"
        "from vidbench.models import load_model"
    )
    notebook = new_notebook(cells=[new_code_cell(imports), new_code_cell(source)])
    tool.run(notebook, tmp_path, allow_errors=True)
    (output,) = [output for output in notebook.cells[1].outputs if output.output_type == "error"]
    assert len(output.traceback) == 1
    assert output.traceback[0].endswith(output.evalue)
    assert re.search(sentence, output.traceback[0])


def with_settings(pair, dataset: str, data_dir: str | None):
    """A chapter, without outputs, whose one cell of settings names other data."""
    notebook = tool.read_text(pair)
    (cell,) = [cell for cell in notebook.cells if "parameters" in tool.tags_of(cell)]
    for name, value in {"DATASET": dataset, "DATA_DIR": data_dir}.items():
        cell.source, changes = re.subn(rf"(?m)^{name} = [^#\n]*", f"{name} = {value!r}", cell.source)
        assert changes == 1
    return notebook


def the_sentence(notebook, run) -> str:
    """What the only failing cell shows where ``run`` runs the notebook; the cells before it ran."""
    with pytest.raises(CellExecutionError):
        run(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    (error,) = [output for output in outputs if output.output_type == "error"]
    assert len(error.traceback) == 1
    assert "\n" not in error.traceback[0]
    return error.traceback[0]


def test_a_clip_that_cannot_be_decoded_is_one_sentence_in_its_cell(tmp_path):
    (tmp_path / "data" / "Yodel").mkdir(parents=True)
    (tmp_path / "data" / "Yodel" / "page.mp4").write_text("<html>not found</html>")
    notebook = with_settings(tool.Pair("01_video_is_data"), "folder", str(tmp_path / "data"))
    sentence = the_sentence(notebook, lambda it: tool.run(it, tmp_path, env=kernel_environment(tmp_path)))
    assert re.search(r"Yodel/page\.mp4: not_media: ", sentence)


# ---------------------------------------------------------------- the install cell


def run_install_cell(monkeypatch, folder, *, there: bool, status: int = 0) -> list:
    calls = []

    def pip(command, **options):
        calls.append(command)
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if there else None)
    monkeypatch.setattr(subprocess, "run", pip)
    monkeypatch.setattr(sys, "path", list(sys.path))
    cell = folder / "install_cell.py"
    cell.write_text(tool.install())
    runpy.run_path(str(cell))
    return calls


def test_the_install_cell_does_nothing_where_the_kit_is(monkeypatch, tmp_path, capfd):
    before = list(sys.path)
    assert run_install_cell(monkeypatch, tmp_path, there=True) == []
    assert sys.path == before
    assert capfd.readouterr() == ("", "")


def test_without_an_address_nothing_is_fetched_and_no_link_is_dead(monkeypatch, tmp_path):
    monkeypatch.setattr(tool, "REPOSITORY", "")
    with pytest.raises(SystemExit, match="not installed here; in its checkout, `make lab`"):
        run_install_cell(monkeypatch, tmp_path, there=False)
    assert run_install_cell(monkeypatch, tmp_path, there=True) == []
    for pair in (tool.Pair("03_explore"), tool.Pair("03_explore_solutions")):
        assert "https://" not in tool.links(pair)
        assert tool.links(pair).count("](") == 2


def test_the_install_cell_fetches_the_kit_with_its_data_where_it_is_not(monkeypatch, tmp_path):
    monkeypatch.setattr(tool, "REPOSITORY", "someone/kit")
    (command,) = run_install_cell(monkeypatch, tmp_path, there=False)
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert "--editable" in command  # a checkout, and so with data/vidmini; a wheel has none
    assert command[-1] == "git+https://github.com/someone/kit.git#egg=vidbench[course]"
    assert sys.path[0] == "kit/vidbench"


def test_the_install_cell_says_so_where_there_is_no_network(monkeypatch, tmp_path):
    monkeypatch.setattr(tool, "REPOSITORY", "someone/kit")
    with pytest.raises(SystemExit, match="is there a network"):
        run_install_cell(monkeypatch, tmp_path, there=False, status=1)


def test_the_repository_is_named_in_one_place():
    sources = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "scripts").glob("*.py")}
    assert [name for name, text in sources.items() if tool.HOST in text] == ["notebooks.py"]
    assert sources["notebooks.py"].count(f'"{tool.REPOSITORY}"  # owner/name') == 1


# ---------------------------------------------------------------- what the checks refuse


@pytest.mark.parametrize(
    "prose",
    [
        "H.264, BT.709, MP4, UCF101, R(2+1)D, 3-D and 2D, top-5, 8-bit, yuv420p and 4:2:0 are names.",
        "See chapter 4 and exercise 2. The 95 % interval is drawn.",
        "# 3. A heading with 17 in it\n\n1. first\n2. second",
        "Read at 25 frames per second, 0.5 s apart and 1,000 in all.",
        "```\n99 bottles\n```\nand `x[99]` and [text](file-99.html)",
    ],
)
def test_names_and_settings_may_hold_digits(prose):
    assert tool.stray_numbers(prose, "rate, gap, most = 25, 0.5, 1_000") == []


@pytest.mark.parametrize(
    ("prose", "stray"),
    [
        ("It took 31 ms.", ["31"]),
        ("It took 3.1ms.", ["3.1"]),
        ("Accuracy is 71.4 % (n=144).", ["71.4", "144"]),
        ("`97 %` in quotes.", ["97"]),
        (
            "That is three times slower, twice as large, a tenfold more.",
            ["three times slower", "tenfold more", "twice as large"],
        ),
        ("Fifty percent are right.", ["Fifty percent"]),
        ("At 250 frames per second, with version 1.2.3.", ["250", "1.2.3"]),
        ("**25** of 26", ["26"]),
    ],
)
def test_measured_numbers_in_prose_are_found(prose, stray):
    assert tool.stray_numbers(prose, "rate = 25") == stray


def test_a_setting_counts_only_next_to_its_cell():
    cells = [new_code_cell("rate = 25"), new_code_cell("pass"), new_markdown_cell("At 25."), new_code_cell("pass")]
    assert tool.number_problems(new_notebook(cells=cells)) == ["cell 3 has a number in its prose: '25'"]
    assert tool.number_problems(new_notebook(cells=cells[:1] + cells[2:])) == []


def test_exercises_may_use_the_numbers_of_their_solutions():
    cells = [new_code_cell("pass"), new_markdown_cell("## Exercises\n\n1. Try 40 frames, then 41.")]
    assert tool.number_problems(new_notebook(cells=cells), "frames = 40") == ["cell 2 has a number in its prose: '41'"]


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("here.md", ""),
        ("here.md#two-words", ""),
        ("here.md#three", "leads to no heading"),
        ("#A-Title", ""),
        ("#Another", "leads to no heading"),
        ("there.md", "leads to no file"),
        ("https://example.org/a?b=c#d", ""),
        ("http://example.org", "no https address"),
        ("https://example", "no https address"),
        ("", "leads nowhere"),
    ],
)
def test_links_lead_somewhere(tmp_path, target, problem):
    (tmp_path / "here.md").write_text("## Two words\n")
    found = tool.link_problems(f"# A Title\n\nSee [this]({target}), not `[that](x)`.", tmp_path)
    assert [text for text in found if problem in text] == found
    assert bool(found) == bool(problem)


def notebook_with(**output):
    return new_notebook(cells=[new_code_cell("show()", outputs=[new_output("display_data", **output)])])


def test_pictures_and_videos_need_words():
    assert tool.alt_problems(notebook_with(data={"image/png": "aa"}))
    assert tool.alt_problems(notebook_with(data={"image/png": "aa"}, metadata={"image/png": {"alt": " "}}))
    assert tool.alt_problems(notebook_with(data={"text/html": "<video src='x'></video>"}))
    assert tool.alt_problems(notebook_with(data={"text/html": '<img src="x" alt="">'}))
    assert tool.alt_problems(new_notebook(cells=[new_markdown_cell("![](a.png)")]))
    assert not tool.alt_problems(notebook_with(data={"image/png": "aa"}, metadata={"image/png": {"alt": "A ball."}}))
    assert not tool.alt_problems(notebook_with(data={"text/html": '<video aria-label="A ball rolls"></video>'}))
    assert not tool.alt_problems(new_notebook(cells=[new_markdown_cell("![A ball](a.png)")]))


def test_large_outputs_and_private_paths_are_refused():
    video = "data:video/mp4;base64," + "A" * 300_000
    assert tool.size_problems(notebook_with(data={"text/html": f'<video src="{video}">'}), 10)
    assert not tool.size_problems(notebook_with(data={"text/html": f'<video src="{video[:200_000]}">'}), 10)
    assert tool.size_problems(new_notebook(), 1_000_001)
    assert tool.private_problems(notebook_with(data={"text/plain": f"{tool.ROOT}/data"}))
    assert not tool.private_problems(notebook_with(data={"text/plain": "data/vidmini"}))


def chapter_of(**changes):
    """A notebook that keeps every rule of order, or one that breaks those named."""
    chapter = tool.Chapter(3, "Explore", "03_explore", "what is there?", "", "")
    tags = {"links": "Links", "install": "import sys", "imports": "import os", "next": "Next"}
    tags |= {"parameters": 'DATASET = "vidmini"\nDATA_DIR = None'} | changes
    ending = changes.get("ending", "## Summary\n\n## Exercises\n\n1. One\n2. Two\n3. Three")
    middle = [cell for _ in range(14) for cell in (new_markdown_cell("Ask."), new_code_cell("look()"))]
    head = [new_markdown_cell(changes.get("title", chapter.heading)), new_markdown_cell(tags["links"])]
    settings = [new_code_cell(tags[name]) for name in ("install", "imports", "parameters")]
    cells = [*head, *settings, *middle, new_markdown_cell(ending), new_markdown_cell(tags["next"])]
    for cell, tag in zip((*cells[1:5], cells[-1]), tool.TAGS):
        cell.metadata["tags"] = [tag]
    return new_notebook(cells=cells), chapter


def test_a_chapter_in_order_has_no_problem():
    assert tool.order_problems(*chapter_of()) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"title": "# 3. Explore"}, "first line is not"),
        ({"imports": "import os\nx = 1"}, "does more than import"),
        ({"parameters": "DATASET = 'vidmini'"}, "does not set DATASET and DATA_DIR"),
        ({"ending": "## Exercises\n\n1. One\n2. Two\n3. Three"}, "no section ## Summary"),
        ({"ending": "## Summary\n\n## Exercises\n\n1. One\n2. Two"}, "numbered 1, 2; expected 1, 2, 3"),
        ({"parameters": "DATASET = DATA_DIR = 0" + "\npass" * 20}, "21 lines"),
    ],
)
def test_a_chapter_out_of_order_is_refused(changes, problem):
    assert any(problem in found for found in tool.order_problems(*chapter_of(**changes)))


def test_a_chapter_of_too_many_cells_is_refused():
    notebook, chapter = chapter_of()
    notebook.cells[5:5] = [new_code_cell("pass") for _ in range(60)]
    assert any("cells; 30 to 75" in found for found in tool.order_problems(notebook, chapter))


def test_a_pair_out_of_step_is_refused():
    one, other = (new_notebook(cells=[new_code_cell(source)]) for source in ("x = 1", "x = 2"))
    assert tool.pair_problems(one, one) == []
    assert "differs" in tool.pair_problems(one, other)[0]
    assert "1 cells, the .py 0" in tool.pair_problems(one, new_notebook())[0]


# ---------------------------------------------------------------- building


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one chapter in a folder of its own."""
    folder = tmp_path / "notebooks"
    (folder / "py").mkdir(parents=True)
    row = "| 3 | [Explore](03_explore.ipynb) | what is there? | 9 minutes | nothing |\n"
    (folder / "README.md").write_text("# Course\n\n" + row)
    cells = ['# %% tags=["install"]', '# %% [markdown] tags=["links"]', "# %%\nprint(1)\nobject()"]
    (folder / "py" / "03_explore.py").write_text("\n\n".join(cells))
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "COURSE", folder)
    return folder


def test_building_twice_gives_the_same_bytes(course):
    pair = tool.Pair("03_explore")
    tool.build(pair)
    first = pair.ipynb.read_bytes(), pair.py.read_bytes()
    tool.build(pair)
    assert (pair.ipynb.read_bytes(), pair.py.read_bytes()) == first
    assert b" at 0x" not in first[0]
    notebook = nbformat.read(pair.ipynb, as_version=4)
    assert [cell.get("execution_count") for cell in notebook.cells] == [1, None, 2]
    assert notebook.cells[0].source == tool.install()
    assert "9 minutes" in notebook.cells[1].source
    assert notebook.cells[2].outputs[0].text == "1\n"


def test_refreshing_keeps_the_outputs(course, monkeypatch):
    pair = tool.Pair("03_explore")
    tool.build(pair)
    monkeypatch.setattr(tool, "REPOSITORY", "someone/else")
    assert any("run refresh" in found for found in tool.problems(pair))
    tool.refresh_files(pair)
    notebook = nbformat.read(pair.ipynb, as_version=4)
    assert "someone/else" in notebook.cells[1].source
    assert "someone/else" in pair.py.read_text()
    assert notebook.cells[2].outputs[0].text == "1\n"


def test_pulling_brings_edits_back_to_the_text(course):
    pair = tool.Pair("03_explore")
    tool.build(pair)
    notebook = nbformat.read(pair.ipynb, as_version=4)
    notebook.cells[2].source = "print(2)"
    nbformat.write(notebook, pair.ipynb)
    assert any("differs" in found for found in tool.problems(pair))
    tool.pull(pair)
    assert "print(2)" in pair.py.read_text()
    assert not any("differs" in found for found in tool.problems(pair))


def test_jupytext_takes_the_two_files_for_a_pair(course):
    from jupytext.paired_paths import paired_paths

    paths = [path for path, _ in paired_paths("notebooks/03_explore.ipynb", "ipynb", tool.FORMATS)]
    assert paths == ["notebooks/03_explore.ipynb", "notebooks/py/03_explore.py"]


def test_widgets_without_a_kernel_leave_their_stand_in():
    live = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "Box()", "text/html": "<p>"}
    output = tool.clean_output(new_output("display_data", data=live), 1)
    assert set(output.data) == {"text/plain", "text/html"}


def test_an_unknown_name_lists_the_known():
    with pytest.raises(SystemExit, match="no notebook is called '99_x'; there are 01_video_is_data"):
        tool.find_pairs(["99_x"])


# ---------------------------------------------------------------- the web site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    return folder, tool.write_site(folder)


def test_the_site_has_a_page_for_every_notebook(site):
    folder, pages = site
    expected = {"index.html"} | {
        f"solutions/{pair.name}.html" if pair.is_solutions else f"{pair.name}.html" for pair in PAIRS
    }
    assert {page.relative_to(folder).as_posix() for page in pages} == expected


def test_the_site_asks_nothing_of_the_net_and_its_links_lead_to_pages(site):
    for page in site[1]:
        text = re.sub(r'"data:[^"]*"', '""', page.read_text(encoding="utf-8"))
        assert "<script" not in text.replace("&lt;script", "")
        loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', text)
        assert all(not target.startswith(("http", "//")) for target in loaded)
        local = [target for target in re.findall(r'(?:href|src)="([^"#]+)"', text) if "://" not in target]
        missing = [target for target in local if not (page.parent / target).is_file()]
        assert missing == [], page.name


def test_links_out_of_the_course_lead_to_the_repository(site):
    from notebook_site import Site

    folder, _ = site
    pages = Site(tool.COURSE, ROOT, "https://example.org/a/b")
    pages.folder, pages.pages = folder, {}
    target = pages._target("../docs/decisions.md#top", tool.COURSE)
    assert target == "https://example.org/a/b/blob/main/docs/decisions.md#top"


@pytest.fixture(scope="module")
def browser():
    executable = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.mark.slow
def test_the_pages_are_accessible_and_fit_a_phone(site, browser):
    from axe_playwright_python.sync_playwright import Axe

    for path in site[1]:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        complaints = []
        page.on("console", lambda message, to=complaints: to.append(message.text))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path.name
        assert complaints == [], path.name  # axe itself adds to them below: it fetches the style sheet again
        violations = Axe().run(page).response["violations"]
        assert [(found["id"], found["nodes"][0]["html"][:90]) for found in violations] == [], path.name
        page.close()


def test_the_script_has_a_page_of_help():
    script = ROOT / "scripts" / "notebooks.py"
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=True)
    assert "what must be true of them; runs nothing" in done.stdout
    assert ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))).splitlines()[0] in done.stdout


def test_what_the_course_imports_is_installed_by_its_extra():
    """Colab installs the package with the extra ``course``, not requirements.txt."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["course"]
    names = {re.match(r"[\w-]+", line).group().lower() for line in wanted}
    installs = {"cv2": "opencv-python", "IPython": "ipython", "PIL": "pillow", "sklearn": "scikit-learn"}
    installs |= {"markupsafe": "jinja2"}
    imported = set()
    for source in [pair.py for pair in PAIRS] + sorted((ROOT / "vidbench").glob("*.py")):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            imported |= {module.split(".")[0] for module in modules}
    # what further extras bring
    elsewhere = {"vidbench", "tensorflow", "tensorflow_hub", "tflite_runtime", "ray"}
    others = imported - set(sys.stdlib_module_names) - elsewhere
    assert {installs.get(name, name).replace("_", "-").lower() for name in others} <= names


def test_the_linter_finds_nothing_in_the_code_of_the_notebooks():
    """Lines of prose are as long as their paragraph wants; the import of a kit that was just installed comes late."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--isolated", "--line-length", "120"]
    command += ["--select", "F,W,I,B,UP,C4,SIM,RET,PIE,NPY,E7", "--ignore", "E402,B018,B905,SIM108"]
    files = [str(pair.py) for pair in PAIRS]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
