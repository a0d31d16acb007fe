"""Files that scripts write: safe names, and never half of one."""

import os
import re
import tempfile


def folder_name(text):
    """A host's or run's name as one safe part of a path."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text).strip(".") or "unnamed"


def write_whole(path, data):
    """Either the old file or the new one is there, never half of one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
