"""Packages of another architecture, without telling the machine's own package manager: apt works
with a state of its own below build/lab/, and what it fetches is unpacked, not installed."""

import pathlib
import shutil
import subprocess
import sys

# For arm64: what the driver is linked against, and what its checks find on any machine: the
# unwinder that backtrace(3) loads, and a shell to execute. The C library's headers come with the
# cross compiler; the library that runs is Debian's own.
LIBRARIES = ["libhwloc-dev", "libhwloc15", "libpfm4-dev", "libpfm4", "libjansson-dev",
             "libjansson4", "libmd-dev", "libmd0", "libudev1", "libcap2", "libc6", "libgcc-s1",
             "dash"]
KERNEL = "linux-image-cloud-arm64"
CONFIGURATION = """APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Sandbox::User "root";
Dir::State "{state}";
Dir::State::status "{state}/status";
Dir::State::Lists "{state}/lists";
Dir::Cache "{state}";
Dir::Cache::archives "{state}/archives";
"""


class Missing(Exception):
    """Something that the lab needs is not here; the text is one line for the user."""


class Packages:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.sysroot = self.folder / "sysroot"

    def _apt(self, *command):
        state = self.folder / "apt"
        for name in ("lists/partial", "archives/partial"):
            (state / name).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        (state / "configuration").write_text(CONFIGURATION.format(state=state))
        done = subprocess.run(command, cwd=state, capture_output=True, text=True, check=False,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
                                   "APT_CONFIG": str(state / "configuration")})
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise Missing(f"`{' '.join(command[:3])}` for arm64 failed: "
                          f"{lines[-1] if lines else 'no output'}")
        return done.stdout

    def _fetch(self, names, target):
        """Downloads and unpacks into a fresh folder, which becomes `target` at the end."""
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise Missing("no apt-get and dpkg-deb here: kernel and libraries are Debian packages")
        print(f"lab: fetching {', '.join(names)} for arm64", file=sys.stderr, flush=True)
        new = target.with_name(target.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        archives = self.folder / "apt" / "debs"
        shutil.rmtree(archives, ignore_errors=True)
        self._apt("apt-get", "update", "-q")
        resolved = [self._image(name) if name == KERNEL else name for name in names]
        archives.mkdir(parents=True)
        # apt downloads to where it stands.
        self._apt("sh", "-c", 'cd debs && exec apt-get download -q "$@"', "sh", *resolved)
        for archive in sorted(archives.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", archive, new], check=True)
        shutil.rmtree(archives)
        shutil.rmtree(target, ignore_errors=True)
        new.rename(target)

    def _image(self, name):
        """The kernel that the package without a version stands for."""
        for line in self._apt("apt-cache", "show", "--no-all-versions", name).splitlines():
            if line.startswith("Depends:"):
                for word in line.split():
                    if word.startswith("linux-image-"):
                        return word.rstrip(",")
        raise Missing(f"{name} depends on no kernel image")

    def libraries(self):
        """The folder with the arm64 libraries, fetched at the first call."""
        if not self.sysroot.is_dir():
            self._fetch(LIBRARIES, self.sysroot)
        return self.sysroot

    def kernel(self):
        """(the kernel's image, its release), fetched at the first call."""
        folder = self.folder / "kernel"
        if not folder.is_dir():
            self._fetch([KERNEL], folder)
        for image in sorted((folder / "boot").glob("vmlinuz-*")):
            return image, image.name[len("vmlinuz-"):]
        raise Missing(f"no vmlinuz-* in {folder}/boot: remove {folder}")
