"""Install requirements.txt into the Python of this session, without touching what the editor itself runs on."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent if "__file__" in globals() else Path("cml").resolve()))

from cml_session import ROOT, end, show

PYTHONS = ((3, 11), (3, 12), (3, 13))
# A project installs into its own site folder, which Python prefers to the runtime's. Newer versions of these there can
# keep every later session of the project from starting, so they stay as the runtime has them.
EDITOR = ("ipykernel", "ipython", "traitlets", "tornado", "jupyter_client", "jupyter_core", "jupyter_server", "pyzmq",
          "comm", "jupyterlab", "notebook", "nbclassic", "jupyterlab_server")  # fmt: skip
PIP = [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
PIP += ["--no-cache-dir"]  # a cache of the same size again would fill the project's storage


def plain(name: str) -> str:
    """A package's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def editor_versions() -> dict[str, str]:
    """Installed versions of the packages that the editor runs on."""
    from importlib import metadata  # Python 3.6 has none, and gets as far as the sentence of cml_session.py

    found = {}
    for name in EDITOR:
        try:
            found[plain(name)] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def without(text: str, names) -> str:
    """Requirements without the lines that ask for one of these packages."""
    lines = [line for line in text.splitlines() if plain(re.split(r"[^\w.-]", line)[0]) not in names]
    return "\n".join(lines) + "\n"


def install_requirements() -> int:
    """Run pip on requirements.txt; pip's exit status."""
    kept = editor_versions()
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        wanted, pinned = Path(folder, "requirements.txt"), Path(folder, "constraints.txt")
        wanted.write_text(without(text, kept), encoding="utf-8")
        pinned.write_text("".join(f"{name}=={version}\n" for name, version in kept.items()), encoding="utf-8")
        if kept:
            print(f"left as the runtime has them: {', '.join(f'{name} {kept[name]}' for name in kept)}")
        return show([*PIP, "-r", str(wanted), "-c", str(pinned)], keep=lambda line: "already satisfied" not in line)


def opencv_works() -> bool:
    """Whether OpenCV can be loaded: the usual wheel needs libGL and glib from the system."""
    return subprocess.run([sys.executable, "-c", "import cv2"], cwd=ROOT, capture_output=True).returncode == 0


def replace_opencv() -> int:
    """Put the wheel of the same version that needs no system libraries over the one that cannot be loaded."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pin = re.search(r"(?m)^opencv-python(==\S+)", text)
    print("OpenCV misses a system library (libGL or glib) that a session cannot install: taking its headless wheel.")
    wheel = f"opencv-python-headless{pin.group(1) if pin else ''}"
    return show([*PIP, "--no-deps", "--force-reinstall", wheel])


def main() -> int:
    if sys.version_info[:2] not in PYTHONS:
        print(f"vidbench needs Python 3.11, 3.12 or 3.13, this runtime has {sys.version.split()[0]}: choose another.")
        return 1
    print("installing requirements.txt: about 3.5 GB to download, 9 GB on disk, 5 to 15 minutes the first time")
    status = install_requirements()
    if not status and not opencv_works():
        status = replace_opencv() or int(not opencv_works())
    if status:
        print(
            f"The packages are not complete (status {status}): the lines above say why. Where the package index cannot "
            "be reached, set PIP_INDEX_URL in the project's settings; then run cml/install_dependencies.py again."
        )
        return status
    print("All packages are there.")
    return 0


if __name__ == "__main__":
    end(main())
