"""Finds a Python that has what a script needs: distributions put numpy and scipy beside their own
interpreter only, and another python3 may come first on PATH."""

import importlib.util
import os
import sys

_TRIED = "THREADLAB_PYTHON_TRIED"


def need(*modules):
    """Returns if all modules can be imported; else runs the script again with /usr/bin/python3, and
    where that has been tried, exits with status 2 and one line."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if not missing:
        os.environ.pop(_TRIED, None)
        return
    other = "/usr/bin/python3"
    if _TRIED not in os.environ and os.access(other, os.X_OK) and \
            os.path.realpath(other) != os.path.realpath(sys.executable):
        os.environ[_TRIED] = "1"
        os.execv(other, [other, *sys.argv])
    print(f"{os.path.basename(sys.argv[0])}: {', '.join(missing)} is missing for {sys.executable}: "
          "`make deps` installs it", file=sys.stderr)
    sys.exit(2)
