"""What bootstrap.py does: the environment, made once and kept in step with the requirements, and commands in it.

Standard library only, and nothing that Python 3.6 cannot parse: an old Python must get as far as the sentence that
names the right one.

An environment is in one of four states, told apart by two small files in it:

- no folder: it is made and filled;
- STAMP: complete. Used when the stamp fits the requirements; otherwise set aside, made anew, and put back should that
  fail;
- UNFINISHED: a killed install left it: removed, then made anew;
- neither: someone else made it: pip installs into it, and it is not removed.
"""

import collections
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

SUPPORTED = ((3, 11), (3, 12), (3, 13))
DISK_GB, FREE_GB, DOWNLOAD_GB, MINUTES = 9, 11, 3.5, "5 to 15"
STAMP, UNFINISHED = "vidbench-installed.json", "vidbench-unfinished"
WINDOWS = os.name == "nt"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMANDS = {
    "evaluate": ["scripts/evaluate.py", "@scripts/config.txt"],
    "test": ["-m", "pytest"],
    "lab": ["-m", "jupyterlab", "--ServerApp.root_dir=.", "--LabApp.default_url=/lab/tree/notebooks"],
    "html": ["scripts/notebooks.py", "html"],
    "install": None,
    "clean": None,
}
LEFTOVERS = ("results", "site", "data/clips", "build", "dist", "vidbench.egg-info", ".pytest_cache", ".ruff_cache")
CAUSES = (  # words in pip's last lines, and what they mean
    ("no space left", "the disk is full"),
    ("no matching distribution", "a package is not to be had: no network, or none for this Python and system"),
    ("resolutionimpossible", "two of the requirements contradict each other"),
    ("hashes do not match", "a download arrived damaged"),
    ("connection", "the package index could not be reached"),
    ("timed out", "the package index could not be reached"),
    ("proxy", "the package index could not be reached"),
)


class Stop(Exception):
    """What went wrong and what to do next, in a sentence; the program ends with status 1."""


def say(text):
    print(f"bootstrap: {text}", flush=True)


# --- which Python


def version_of(python):
    """``(major, minor)`` as that Python itself reports, or ``None`` where it does not run."""
    try:
        out = subprocess.check_output(
            [python, "-c", "import sys; print('%d %d' % sys.version_info[:2])"], stderr=subprocess.DEVNULL, timeout=30
        )
        major, minor = out.decode("ascii").split()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return int(major), int(minor)


def other_python(running):
    """The Python to use in place of ``running`` (major, minor); ``None`` where that one will do."""
    if running in SUPPORTED:
        return None
    for major, minor in SUPPORTED:
        found = shutil.which(f"python{major}.{minor}")
        if found and version_of(found) == (major, minor):  # a pyenv shim is found but may not run
            return found
    raise Stop(
        f"vidbench needs Python 3.11, 3.12 or 3.13; this is {running[0]}.{running[1]}, and none of those is on the "
        "PATH. Install one and run the same command again."
    )


def base_python():
    """The running Python, or the one it comes from where it belongs to an environment (which may be remade)."""
    if sys.prefix != sys.base_prefix:
        return getattr(sys, "_base_executable", None) or sys.executable
    return sys.executable


def check_venv_module(python):
    """Debian and Ubuntu ship Python without venv and ensurepip."""
    if subprocess.call([python, "-c", "import ensurepip, venv"], stderr=subprocess.DEVNULL):
        name = "python{}.{}-venv".format(*sys.version_info[:2])
        raise Stop(
            f"{python} comes without venv or ensurepip; on Debian and Ubuntu run `apt-get install {name}`, "
            "then the same command again."
        )


# --- the environment and its stamp


def environment_folder():
    chosen = os.environ.get("VIDBENCH_VENV") or os.path.join(ROOT, ".venv")
    return os.path.abspath(os.path.expanduser(chosen))


def python_of(folder):
    return os.path.join(folder, "Scripts", "python.exe") if WINDOWS else os.path.join(folder, "bin", "python")


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def requirement_lines(text):
    """The lines that pip acts on, without comments and blanks."""
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def wanted_stamp():
    """What an environment depends on; a change of the first two makes it anew, one of the others updates it."""
    import tomllib

    with open(os.path.join(ROOT, "requirements.txt"), encoding="utf-8") as file:
        requirements = requirement_lines(file.read())
    tables = {}
    with contextlib.suppress(FileNotFoundError), open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        tables = tomllib.load(file)
    project = [tables.get("build-system"), tables.get("project"), tables.get("tool", {}).get("setuptools")]
    return {
        "requirements": digest(requirements),
        "python": "{}.{}".format(*sys.version_info[:2]),
        "project": digest(project),
        "root": ROOT,
    }


def read_stamp(folder):
    """The stamp of a complete environment, or ``{}``, also where the Python it was made from is gone."""
    try:
        with open(os.path.join(folder, STAMP), encoding="utf-8") as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and os.path.exists(python_of(folder)) else {}


def write_stamp(folder, stamp):
    temporary = os.path.join(folder, f"{STAMP}.{os.getpid()}")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(stamp, file, indent=1)
    os.replace(temporary, os.path.join(folder, STAMP))


def fits(stamp, wanted):
    return {key: stamp.get(key) for key in wanted} == wanted


class Lock:
    """A file beside the environment: many may use it at a time, one may change it. The system frees it when we die."""

    def __init__(self, folder):
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        self.file = open(folder + ".lock", "a+")  # noqa: SIM115

    def attempt(self, alone):
        try:
            if WINDOWS:
                import msvcrt

                self.file.seek(0)
                msvcrt.locking(self.file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(self.file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def take(self, alone):
        if self.attempt(alone):
            return
        doing = "uses" if alone else "is making"
        say(f"another process {doing} {self.file.name[:-5]}; waiting until it ends (Ctrl-C to give up).")
        while not self.attempt(alone):
            time.sleep(0.2)

    def free(self):
        if WINDOWS:
            import msvcrt

            self.file.seek(0)
            msvcrt.locking(self.file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(self.file, fcntl.LOCK_UN)


def remove(path):
    """Remove a file, link or folder: renamed first, so that a kill on the way leaves nothing that looks complete."""
    trash = f"{path}.tmp-{os.getpid()}"
    os.rename(path, trash)
    if os.path.isdir(trash) and not os.path.islink(trash):
        shutil.rmtree(trash)
    else:
        os.remove(trash)


# --- making it


def ensure(folder):
    """Make or update the environment where needed; returns the lock that keeps it as it is while it is used."""
    lock, wanted = Lock(folder), wanted_stamp()
    while True:
        lock.take(alone=False)
        if fits(read_stamp(folder), wanted):
            return lock
        lock.free()
        lock.take(alone=True)
        with ending_on_signals():
            settle(folder)
            make(folder, wanted, lock)
        lock.free()


def settle(folder):
    """Tidy up after an install that was killed: the old environment, if one was set aside, is put back."""
    aside = folder + ".tmp-old"
    if os.path.isdir(aside) and not read_stamp(folder):
        if os.path.exists(folder):
            remove(folder)
        os.rename(aside, folder)
    parent, name = os.path.split(folder)
    for entry in os.listdir(parent):
        if entry.startswith(name + ".tmp-"):
            shutil.rmtree(os.path.join(parent, entry), ignore_errors=True)
    unfinished = os.path.join(folder, UNFINISHED)
    if os.path.exists(unfinished) or (os.path.exists(os.path.join(folder, STAMP)) and not read_stamp(folder)):
        if read_stamp(folder):
            os.remove(unfinished)
        else:
            say(f"{folder} is what an interrupted install left; removing it.")
            remove(folder)


def make(folder, wanted, lock):
    """Bring a settled environment to the wanted state, or leave it as it was and raise."""
    stamp = read_stamp(folder)
    if fits(stamp, wanted):
        return
    anew = {key: stamp.get(key) for key in ("requirements", "python")} != {
        key: wanted[key] for key in ("requirements", "python")
    }
    if stamp and not anew:
        say("pyproject.toml or the folder's place has changed; updating the environment.")
        pip_install(folder, lock)
        write_stamp(folder, wanted)
    elif not stamp and os.path.isdir(folder) and os.listdir(folder):
        adopt(folder, wanted, lock)
    else:
        make_anew(folder, wanted, lock, bool(stamp))


def adopt(folder, wanted, lock):
    """Install into an environment that someone else made; it is never removed."""
    python = python_of(folder)
    version = version_of(python)
    if not os.path.exists(os.path.join(folder, "pyvenv.cfg")) or version != sys.version_info[:2]:
        what = "a folder without a working Python" if version is None else "an environment of Python {}.{}"
        raise Stop(
            f"{folder} is {what.format(*version or ())}, not made by this script and so left alone; remove it, or name "
            "another folder in VIDBENCH_VENV."
        )
    say(f"{folder} was not made by this script: installing what is missing there.")
    announce(folder)
    pip_install(folder, lock, "The environment is as pip left it.")
    finish(folder, wanted)


def make_anew(folder, wanted, lock, replacing):
    python, aside = base_python(), folder + ".tmp-old"
    check_venv_module(python)
    if replacing and free_gb(folder) < FREE_GB:
        say("the requirements have changed and the disk has no room for two environments: removing the old one.")
        remove(folder)
    elif replacing:
        say("the requirements have changed: making the environment anew; the old one is kept until that is done.")
        os.rename(folder, aside)
    try:
        announce(folder)
        os.makedirs(folder, exist_ok=True)
        open(os.path.join(folder, UNFINISHED), "w").close()
        run_pip([python, "-m", "venv", folder], lock, "venv could not make the environment")
        pip_install(folder, lock)
        finish(folder, wanted)
    except BaseException:
        with ignoring_signals():
            if os.path.isdir(folder):
                remove(folder)
            if os.path.isdir(aside):
                os.rename(aside, folder)
                say("the old environment is back in its place.")
        raise
    os.remove(os.path.join(folder, UNFINISHED))
    if os.path.isdir(aside):
        shutil.rmtree(aside, ignore_errors=True)


def finish(folder, wanted):
    write_stamp(folder, wanted)
    say(f"installed {folder}.")


def free_gb(folder):
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return shutil.disk_usage(folder).free / 1e9


def announce(folder):
    """Say what is about to happen and what it costs; ``Stop`` where the disk has no room for it."""
    free, version = free_gb(folder), "{}.{}.{}".format(*sys.version_info[:3])
    if free < FREE_GB and not os.environ.get("VIDBENCH_SKIP_DISK_CHECK"):
        raise Stop(
            f"the environment takes about {DISK_GB} GB and {FREE_GB} GB free to install, but {os.path.dirname(folder)} "
            f"has {free:.1f} GB; make room, or name a folder on another disk in VIDBENCH_VENV "
            "(VIDBENCH_SKIP_DISK_CHECK=1 tries all the same)."
        )
    say(
        f"installing requirements.txt with Python {version} into {folder}: about {DOWNLOAD_GB} GB to download (less "
        f"what pip has cached), {DISK_GB} GB on disk, {MINUTES} minutes. This happens once."
    )


def pip_install(folder, lock, otherwise="Nothing half-made is left behind."):
    command = [python_of(folder), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "-r", "requirements.txt"]
    run_pip(command, lock, "pip could not install requirements.txt", otherwise)


def run_pip(command, lock, failure, otherwise="Nothing half-made is left behind."):
    """Run a command that fills the environment, showing its downloads; ``Stop`` with its last lines where it fails.

    It holds the lock too: should this process be killed, the next one waits until pip has ended as well. It has its
    own process group, so that on Ctrl-C its children end with it.
    """
    group: dict = {} if WINDOWS else {"start_new_session": True, "pass_fds": (lock.file.fileno(),)}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=pip_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **group,
    )
    tail: collections.deque = collections.deque(maxlen=12)
    try:
        for line in process.stdout or ():
            text = line.decode("utf-8", "replace").strip()
            tail.append(text)
            if re.match(r"Downloading .*\d [MG]B\)|Installing collected", text):
                print("  " + (text if len(text) < 110 else text[:107] + "..."), flush=True)
        status = process.wait()
    except BaseException:
        with ignoring_signals():
            end(process)
        raise
    if status:
        words = " ".join(tail).lower()
        cause = next((meaning for sign, meaning in CAUSES if sign in words), f"it ended with status {status}")
        lines = "".join(f"\n  | {text}" for text in tail if text)
        raise Stop(f"{failure}: {cause}. {otherwise} Mend that and run the same command again. Its last lines:{lines}")


def pip_environment():
    """The environment variables for pip, without those that send packages elsewhere."""
    unwanted = ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "__PYVENV_LAUNCHER__")
    return {key: value for key, value in os.environ.items() if key not in unwanted}


def end(process):
    """End a process and its children: politely, and after 5 s for certain."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with contextlib.suppress(OSError):
            if WINDOWS:
                process.terminate()
            else:
                os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
    process.stdout.close()


@contextlib.contextmanager
def ending_on_signals():
    """Let SIGTERM and SIGHUP raise ``SystemExit`` as Ctrl-C raises ``KeyboardInterrupt``, so that clean-up runs."""

    def leave(number, frame):
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = [signal.signal(number, leave) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


@contextlib.contextmanager
def ignoring_signals():
    """Let a clean-up end: a second Ctrl-C does not stop it."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


def check_system_libraries(folder):
    """OpenCV's wheel leaves two libraries to the system; once it has imported, that is noted in the stamp."""
    stamp = read_stamp(folder)
    if stamp.get("opencv"):
        return
    code = "import importlib.util as util\nif util.find_spec('cv2'): import cv2"
    done = subprocess.run([python_of(folder), "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        last = done.stdout.decode("utf-8", "replace").strip().split("\n")[-1]
        raise Stop(
            f"OpenCV does not load here ({last}); on Debian and Ubuntu run `apt-get install -y --no-install-recommends "
            "libgl1 libglib2.0-0`, then the same command again. The environment itself is complete."
        )
    write_stamp(folder, dict(stamp, opencv=True))


# --- the commands


def clean(folder):
    """Remove the environment, caches and results, and say so; downloads under data/raw stay."""
    lock = Lock(folder)
    if not lock.attempt(alone=True):
        raise Stop(f"another process uses {folder}; end it, then run the same command again.")
    ours = [name for name in (STAMP, UNFINISHED) if os.path.exists(os.path.join(folder, name))]
    paths = [os.path.join(ROOT, name) for name in LEFTOVERS]
    if ours or folder == os.path.join(ROOT, ".venv"):
        paths.insert(0, folder)
    for name in ("vidbench", "scripts", "tests", "cml", "notebooks", "benchmarks"):
        for place, folders, _ in os.walk(os.path.join(ROOT, name)):
            found = [entry for entry in folders if entry in ("__pycache__", ".ipynb_checkpoints")]
            folders[:] = [entry for entry in folders if entry not in found]
            paths += [os.path.join(place, entry) for entry in found]
    paths = [path for path in paths if os.path.lexists(path)]
    for path in paths:
        say(f"removing {path}")
        remove(path)
    say("clean." if paths else "nothing to remove.")


def run(command):
    """Become the command (POSIX), or run it and end with its status (Windows)."""
    if not WINDOWS:
        os.environ.pop("PYTHONHOME", None)
        sys.stdout.flush()
        os.execv(command[0], command)
    return status_of(command)


def status_of(command):
    """Run the command and wait for its end."""
    os.environ.pop("PYTHONHOME", None)
    sys.stdout.flush()
    process = subprocess.Popen(command)
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # the command hears Ctrl-C itself
            return process.wait()


def main(script, usage, arguments):
    """Do what the arguments say; ``script`` is the file that was started, ``usage`` the text of its help."""
    if not arguments or arguments[0] in ("-h", "--help") or arguments[0] not in COMMANDS:
        print(usage.strip())
        if not arguments or arguments[0] in ("-h", "--help"):
            return 0
        say(f"{arguments[0]!r} is not a command; choose one of {', '.join(COMMANDS)}.")
        return 2
    other = other_python(tuple(sys.version_info[:2]))
    if other:
        say("this is Python {}.{}, which vidbench does not support; using {}.".format(*sys.version_info[:2], other))
        return run([other, os.path.abspath(script), *arguments])
    folder, command = environment_folder(), COMMANDS[arguments[0]]
    if arguments[0] == "clean":
        return clean(folder)
    lock = ensure(folder)
    check_system_libraries(folder)
    if command is None:
        say(f"ready: {folder}")
        return 0
    os.chdir(ROOT)
    if WINDOWS:
        lock.free()  # no shared locks there
    else:
        os.set_inheritable(lock.file.fileno(), True)  # the command keeps the environment from being remade
    if arguments == ["test"]:
        return every_test([python_of(folder), *command])
    return run([python_of(folder), *command, *arguments[1:]])


def every_test(command):
    """All tests, spread over the cores; what fails there runs once more, alone, and has to pass.

    Some tests kill processes at a given moment or wait for one to end; on a full machine such a test may fail
    beside others. Both outcomes are printed.
    """
    spread = side_by_side()
    if not spread:
        return run(command)
    status = status_of(command + spread)
    if status != 1:  # 1: tests failed; any other is pytest's own trouble, or an interruption
        return status
    say("tests failed beside others; they run once more, one after the other, and have to pass.")
    return run([*command, "--last-failed", "--maxfail=10"])


def side_by_side():
    """Options of pytest that spread a whole run over the cores, up to four: each process takes about 2 GB of memory.

    A file's tests stay together, because they share what is made for them. The slowest are named at the end. A process
    that a test ends is not replaced: pytest-xdist would wait for ever for the rest of its file.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    spread = ["-n", str(min(cores, 4)), "--dist", "loadfile", "--no-loadscope-reorder"]
    spread += ["--max-worker-restart=0", "--durations=25"]
    return spread if cores > 1 else []


def run_command(script, usage, arguments):
    """``main``, and its problems as one sentence each; the exit status."""
    try:
        return main(script, usage, arguments)
    except Stop as problem:
        say(str(problem))
    except OSError as problem:
        say(f"{problem}; nothing more was done.")
    except KeyboardInterrupt:
        say("interrupted.")
        return 130
    return 1
