"""The initramfs of the lab: a cpio archive ("newc", Linux Documentation/driver-api/early-userspace/
buffer-format.rst) with the driver, the libraries that it names, and what it shall read. Times and
owners are zero and the order is fixed: the same files make the same archive."""

import pathlib
import re
import subprocess

LOADER = "ld-linux-aarch64.so.1"
NEEDED = re.compile(r"\(NEEDED\).*\[(.+)\]")
FILE, FOLDER = 0o100000, 0o040000


def needed(path):
    done = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True)
    return NEEDED.findall(done.stdout)


def libraries(binaries, folders):
    """{name: file} of all that the binaries are linked with, directly or not. A library that is not
    found raises FileNotFoundError."""
    found, open_ = {}, [name for binary in binaries for name in needed(binary)]
    while open_:
        name = open_.pop()
        if name in found:
            continue
        for folder in folders:
            if (folder / name).exists():
                found[name] = folder / name
                open_ += needed(folder / name)
                break
        else:
            raise FileNotFoundError(f"{name} is in none of {', '.join(map(str, folders))}")
    return found


class Image:
    def __init__(self):
        self.entries = {}  # path: (mode, content); folders come before what is in them

    def folder(self, path):
        if path.parent != path and str(path) != ".":
            self.folder(path.parent)
            self.entries.setdefault(str(path), (FOLDER | 0o755, b""))

    def add(self, path, content, executable=False):
        """path: without a leading slash; content: bytes, or the file."""
        path = pathlib.PurePosixPath(path)
        self.folder(path.parent)
        if not isinstance(content, bytes):
            content = pathlib.Path(content).read_bytes()
        self.entries[str(path)] = (FILE | (0o755 if executable else 0o644), content)

    def binaries(self, files, folders, loaded=()):
        """files: {path: file}; with all their libraries, and those that they load by name."""
        for path, file in files.items():
            self.add(path, file, executable=True)
        found = libraries(files.values(), folders)
        found |= {name: folder / name for name in loaded for folder in folders
                  if (folder / name).exists()}
        for name, file in sorted(found.items()):
            self.add(f"lib/{'' if name == LOADER else 'aarch64-linux-gnu/'}{name}", file, True)

    def pack(self):
        parts = []
        for inode, (path, (mode, content)) in enumerate([*self.entries.items(),
                                                         ("TRAILER!!!", (0, b""))], 1):
            name = path.encode() + b"\0"
            fields = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0]
            head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
            parts += [head, bytes(-len(head) % 4), content, bytes(-len(content) % 4)]
        packed = b"".join(parts)
        return packed + bytes(-len(packed) % 512)
