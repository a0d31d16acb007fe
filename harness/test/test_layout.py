"""Where the timed code lies: aligned to 64 bytes, and elsewhere behind the paddings."""

import re
import shutil
import subprocess

import pytest
from driver import BINARY, ROOT

BUILD = ROOT / "build/release"
pytestmark = pytest.mark.skipif(
    BINARY != BUILD / "threadlab" or not shutil.which("readelf"),
    reason="the flags of build/release are asked, and readelf")


def output_of(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_functions_are_aligned_to_64_bytes():
    """All but what the compiler takes for cold, which has a section of its own."""
    asked = 0
    for path in [p for top in ("harness", "impls", "suites") for p in (BUILD / top).rglob("*.o")]:
        sections = {number for number, name in re.findall(
            r"^ *\[ *([0-9]+)\] (\S+)", output_of("readelf", "-SW", str(path)), re.M)
            if name == ".text"}
        for line in output_of("readelf", "-sW", str(path)).splitlines():
            word = line.split()
            if len(word) == 8 and word[3] == "FUNC" and word[6] in sections:
                assert int(word[1], 16) % 64 == 0, f"{path.name}: {word[7]} at {word[1]}"
                asked += 1
    assert asked > 1000


def test_pads_move_the_code():
    """The same code, elsewhere."""
    subprocess.run(["make", "-s", "pads"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    def where(path):
        return {line.split()[2]: int(line.split()[0], 16)
                for line in output_of("nm", str(path)).splitlines() if len(line.split()) == 3}

    plain = where(BINARY)["tl_now_ns"]
    for pad in (64, 448, 2112, 4544):
        moved = where(BUILD / f"threadlab.pad{pad}")["tl_now_ns"]
        assert moved == plain + pad and moved % 64 == 0


# What the library names of the program's: what works by the operations that it offers.
NAMED = re.compile(r"generic_\w+")


def test_the_library_calls_nothing_that_looks_like_the_users():
    """A handler that interrupts it takes what is outside its section for code of the program's,
    in which a thread may be displaced, or run a handler: functions of the compiler's own library,
    too, which the program is linked with."""
    def symbols(path, *options):
        return [line.split() for line in output_of("nm", *options, str(path)).splitlines()]

    defined = [s for s in symbols(BINARY, "--defined-only") if len(s) == 3]
    begin, end = (int(at, 16) for bound in ("__start_tl_user_text", "__stop_tl_user_text")
                  for at, _, name in defined if name == bound)
    where = {}
    for at, kind, name in defined:  # the compiler's library is hidden: local after the link
        if kind in "TWi" or (kind == "t" and name.startswith("__")):
            where.setdefault(name, []).append(int(at, 16))
    asked = 0
    for path in (BUILD / "impls").rglob("*.o"):
        if "tl_user_text" not in output_of("readelf", "-SW", str(path)):
            continue
        for name in (s[-1] for s in symbols(path, "--undefined-only")):
            asked += 1
            outside = [at for at in where.get(name, []) if not begin <= at <= end]
            assert not outside or NAMED.fullmatch(name), f"{path.name} calls {name}"
    assert asked > 100
