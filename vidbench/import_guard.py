"""Lets TensorFlow and triton live in one process, whichever is imported first.

Both carry their own copy of LLVM. When TensorFlow is loaded before triton (which torchvision and torch.compile load),
triton's library binds to TensorFlow's copy and the process ends with ``LLVM ERROR: inconsistency in registered
CommandLine options``: no traceback, a notebook's kernel just dies. Loaded with ``RTLD_DEEPBIND``, triton's library
finds its own copy, and both work. Upstream: https://github.com/tensorflow/tensorflow/issues/124205.

``import vidbench`` installs the guard. So does ``import torch``, where vidbench is installed: ``pyproject.toml`` names
``install`` as an entry point of the group ``torch.backends``, which torch calls at the end of its own import and so
before anything can load triton. That covers ``import tensorflow, torch, torchvision`` in a notebook that has not
imported vidbench yet. It loads nothing and costs nothing until triton is imported after TensorFlow.
"""

import os
import sys
from importlib.machinery import ExtensionFileLoader, PathFinder

LIBRARY = "triton._C.libtriton"


class OwnSymbolsLoader(ExtensionFileLoader):
    """Loads an extension module whose library prefers its own symbols to those already in the process."""

    def create_module(self, spec):
        flags = sys.getdlopenflags()
        sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
        try:
            return super().create_module(spec)
        finally:
            sys.setdlopenflags(flags)


class LibtritonFinder:
    """Answers for triton's library alone, and only when TensorFlow came first."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        """The library with our loader where TensorFlow is there already; else ``None``, which leaves it to Python."""
        if name != LIBRARY or "tensorflow" not in sys.modules:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or not isinstance(spec.loader, ExtensionFileLoader):
            return None
        spec.loader = OwnSymbolsLoader(spec.loader.name, spec.loader.path)
        return spec


def install() -> None:
    """Put the guard in place, once; does nothing where the system has no ``RTLD_DEEPBIND`` (macOS, Windows, musl)."""
    if hasattr(os, "RTLD_DEEPBIND") and LibtritonFinder not in sys.meta_path:
        sys.meta_path.insert(0, LibtritonFinder)
