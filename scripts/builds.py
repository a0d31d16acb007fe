"""What `compare BASE HEAD` compares: a driver's binary, a plugin, a folder with the sources, or a
git revision, which is built in a worktree of its own."""

import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

JOBS = 2
# Bytes; as PADS in the Makefile.
PADDINGS = (64, 448, 2112, 4544)


class BuildError(Exception):
    """One line: what could not be built or found, and what would be right."""


@dataclasses.dataclass
class Build:
    name: str  # as the user called it
    binary: pathlib.Path
    plugins: tuple = ()
    sources: pathlib.Path | None = None  # the checkout that it was built in

    @property
    def argv(self):
        return [str(self.binary)] + [f"--plugin={plugin}" for plugin in self.plugins]

    def identity(self):
        """Hash of the code and data of all of it, leaving out what only says where it comes
        from."""
        return tuple(code_hash(path) for path in (self.binary, *self.plugins))

    def padded(self):
        """{bytes: Build}: the same objects linked behind each padding. Raises BuildError."""
        if self.plugins:
            raise BuildError("a plugin is not relinked: give revisions")
        if self.sources is None:
            raise BuildError("only binaries were given: there is nothing to relink")
        _make(self.sources, "pads")
        found = {n: self.binary.with_name(f"{self.binary.name}.pad{n}") for n in PADDINGS}
        for path in found.values():
            if not path.is_file():
                raise BuildError(f"{self.name} has no `make pads`")
        return {n: dataclasses.replace(self, binary=path) for n, path in found.items()}


def code_hash(path):
    """SHA-256 of an ELF file without debug data, build id and the stamp with the revision; of the
    whole file where it is none, or where there is no objcopy (binutils)."""
    with tempfile.TemporaryDirectory() as folder:
        bare = pathlib.Path(folder, "bare")
        try:
            status = subprocess.run(
                ["objcopy", "--strip-all", "--remove-section=.note.gnu.build-id",
                 "--remove-section=.threadlab.stamp", "--remove-section=.comment", str(path),
                 str(bare)], capture_output=True, check=False).returncode
        except OSError:
            status = 1
        data = (pathlib.Path(path) if status else bare).read_bytes()
    return hashlib.sha256(data).hexdigest()


def _run(argv, folder, what):
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False,
                              errors="replace", env=_environment())
    except OSError as error:
        raise BuildError(f"{what}: {argv[0]}: {error.strerror}") from None
    if done.returncode:
        said = [line for line in (done.stderr + "\n" + done.stdout).split("\n") if line.strip()]
        errors = [line for line in said if "error" in line.lower()]
        raise BuildError(f"{what}: {(errors or said or ['no message'])[0].strip()}")
    return done.stdout


def _environment():
    """Ours without what make hands to its children: the jobserver is not ours to use."""
    return {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


def _make(folder, *targets):
    _run(["make", f"-j{JOBS}", "CONFIG=release", *targets], folder, f"make in {folder}")


def _built(name, folder):
    binary = folder / "build" / "release" / "threadlab"
    _make(folder, "all")
    if not binary.is_file():
        raise BuildError(f"{name}: make has built no {binary}")
    return Build(name, binary, sources=folder)


def checkout_of(driver):
    """The checkout that a driver was built in, or None."""
    folder = driver.resolve().parent
    if folder.name == "release" and folder.parent.name == "build":
        root = folder.parent.parent
        if (root / "Makefile").is_file() and (root / "harness").is_dir():
            return root
    return None


def worktree(text, root):
    """The folder with the sources of a revision, below build/compare/ of the checkout."""
    try:
        commit = _run(["git", "rev-parse", "--verify", "--quiet", text + "^{commit}"], root,
                      text).strip()
    except BuildError:
        raise BuildError(f"{text}: neither a file, nor a folder, nor a git revision of "
                         f"{root}") from None
    folder = root / "build" / "compare" / commit[:12]
    if not (folder / "Makefile").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        _run(["git", "worktree", "prune"], root, "git worktree prune")
        _run(["git", "worktree", "add", "--detach", "--force", str(folder), commit], root,
             f"a worktree of {text}")
    return folder


def resolve(text, driver, say):
    """The build that a word of the command line means. driver: the binary that was started; say:
    called with one line when something takes long. Raises BuildError."""
    path = pathlib.Path(text)
    if path.is_file() and re.search(r"\.so(\.[0-9.]+)?$", path.name):
        return Build(text, driver, plugins=(path.resolve(),))
    if path.is_file():
        if not os.access(path, os.X_OK):
            raise BuildError(f"{text}: not executable: expected a driver, a plugin (.so), a "
                             "folder or a git revision")
        path = path.resolve()
        return Build(text, path, sources=checkout_of(path))
    if path.is_dir():
        if not (path / "Makefile").is_file():
            raise BuildError(f"{text}: a folder without a Makefile: expected threadlab's sources")
        say(f"building {text}")
        return _built(text, path.resolve())
    root = checkout_of(driver)
    if root is None or not (root / ".git").exists():
        raise BuildError(f"{text}: no such file; a git revision needs a driver that was built in a "
                         "git checkout")
    say(f"building {text}")
    return _built(text, worktree(text, root))
