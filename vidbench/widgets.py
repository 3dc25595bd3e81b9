"""Videos, samplings and runs to look at and to judge, in a notebook.

Each function returns an ipywidgets box that needs a running kernel, and that also carries a picture or a table of what
it shows first: pages made from the notebook, and hosts that only display it, show that instead. A video that cannot be
read, or a folder that cannot be written, is one sentence in the widget and never an exception from a click.

Only pictures and text reach the browser: frames as ``<img alt>``, videos as ``<video>`` with the whole file inside,
so that nothing has to be served and the same cell works in JupyterLab, VS Code and Colab.
The functions lie in ``vidbench.panels``, a file for each kind of panel; this is the place to import them from.
"""

from vidbench.cells import show_video, video_html
from vidbench.panels.comparison import run_comparison
from vidbench.panels.dataset import dataset_browser
from vidbench.panels.errors import error_browser
from vidbench.panels.panel import Panel
from vidbench.panels.player import clip_player
from vidbench.panels.sampler import sampling_slider

__all__ = [
    "Panel",
    "clip_player",
    "dataset_browser",
    "error_browser",
    "run_comparison",
    "sampling_slider",
    "show_video",
    "video_html",
]
