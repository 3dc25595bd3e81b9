"""Install requirements.txt into the Python of this CML session."""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    # CML may run a script with IPython, where __file__ is missing; the project's folder is then the current one.
    root = Path(__file__).resolve().parents[1] if "__file__" in globals() else Path.cwd()
    command = [sys.executable, "-m", "pip", "install", "--no-input", "--progress-bar", "off", "-r", "requirements.txt"]
    print("installing requirements.txt: about 3.5 GB to download, 9 GB on disk, 5 to 15 minutes", flush=True)
    return subprocess.run(command, cwd=root).returncode


if __name__ == "__main__":
    status = main()
    if status:
        raise SystemExit(status)
