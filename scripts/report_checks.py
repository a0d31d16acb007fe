"""What a report says about promises: the matrix of properties and implementations, from the
`check` records of a run."""

from report_render import Bullets, Details, Heading, Sub, Table, Text

DASH = "\N{EN DASH}"
VERDICTS = {  # status of the record: (what the matrix shows, kind)
    "ok": ("pass", "good"), "failed": ("FAIL", "bad"), "crashed": ("CRASH", "bad"),
    "timeout": ("HANG", "bad"), "invalid": ("invalid", "bad"), "unsupported": (DASH, ""),
}
# The worst of several sets of parameters is what counts for the implementation.
KERNEL = "-"  # asked of the kernel, not of an implementation
_WORST = ("ok", "unsupported", "invalid", "failed", "timeout", "crashed")


class Matrix:
    """Verdicts by property and implementation; invariant: `at` holds at least one record each."""

    def __init__(self, run, impls):
        self.about = run.header.get("checks", {})
        self.at = {}
        self.kernel = [c for c in run.checks if c["impl"] == KERNEL]
        for check in run.checks:
            if check["impl"] == KERNEL:
                continue
            self.at.setdefault((check["property"], check["impl"]), []).append(check)
        asked = {impl for _, impl in self.at}
        self.impls = [name for name in impls if name in asked]
        self.impls += sorted(asked - set(self.impls))
        self.groups = {}
        for name in sorted({name for name, _ in self.at}):
            group = self.about.get(name, {}).get("group", "Other")
            self.groups.setdefault(group, []).append(name)
        self.groups = dict(sorted(self.groups.items()))

    def worst(self, name, impl):
        """The record that counts, or None: it was not asked."""
        found = self.at.get((name, impl))
        return max(found, key=lambda c: _WORST.index(c["status"])) if found else None


def _summary(matrix):
    rows = []
    total = {impl: dict.fromkeys(_WORST, 0) for impl in matrix.impls}
    for group, names in matrix.groups.items():
        row = [group, str(len(names))]
        for impl in matrix.impls:
            counts = dict.fromkeys(_WORST, 0)
            for name in names:
                worst = matrix.worst(name, impl)
                if worst is not None:
                    counts[worst["status"]] += 1
                    total[impl][worst["status"]] += 1
            row.append(_counts(counts))
        rows.append(row)
    rows.append(["all", str(sum(map(len, matrix.groups.values()))),
                 *(_counts(total[impl]) for impl in matrix.impls)])
    return Table(["promises about", "properties", *matrix.impls], rows,
                 caption="How many properties hold; below, how many do not (FAIL), and how many "
                         f"the model does not offer ({DASH}).")


def _counts(counts):
    bad = sum(counts[status] for status in ("failed", "crashed", "timeout", "invalid"))
    small = []
    if bad:
        small.append(f"{bad} FAIL")
    if counts["unsupported"]:
        small.append(f"{counts['unsupported']} {DASH}")
    return Sub(str(counts["ok"]), ", ".join(small), "bad" if bad else "good")


def _cell(check):
    if check is None:
        return Sub("", "not asked")
    text, kind = VERDICTS[check["status"]]
    return Sub(text, "" if check["as_expected"] else "not expected", kind)


def _group(matrix, group, names):
    rows = []
    for name in names:
        about = matrix.about.get(name, {})
        rows.append([Sub(name, about.get("promise", "")),
                     *(_cell(matrix.worst(name, impl)) for impl in matrix.impls)])
    table = Table([group, *matrix.impls], rows, matrix=True)
    sources = [f"{name}: {matrix.about[name]['source']}. {_sentence(matrix.about[name]['method'])} "
               f"{_sentence(matrix.about[name]['meaning'])}"
               for name in names if name in matrix.about]
    return [table, Details(f"{group}: where each comes from, what is done, what a pass means",
                           [Bullets(sources)])]


def _sentence(text):
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else text + "."


def _kernel(matrix):
    """What was asked of the kernel, with what it said."""
    found = []
    for check in matrix.kernel:
        about = matrix.about.get(check["property"], {})
        shown = VERDICTS[check["status"]][0]
        found.append(Heading(3, f"The kernel, {check['property']}: {shown}"))
        found.append(Text(_sentence(about.get("promise", check["property"]))))
        if check["reason"]:
            found.append(Text(check["reason"], "warning"))
        if check.get("notes"):
            found.append(Text(check["notes"], "code"))
    return found


def _by_reason(matrix, statuses):
    """["impl (n): reason: properties"], one item for each reason of each implementation."""
    found = {}
    for (name, impl), checks in matrix.at.items():
        for check in checks:
            if check["status"] in statuses:
                reason = check["reason"] or "no reason given"
                if check["expected_why"] and check["status"] != "unsupported":
                    reason = f"{check['expected_why']} (expected; {reason})"
                # The member that is missing differs, the reason is one.
                found.setdefault((impl, reason), {}).setdefault(name)
    order = {impl: at for at, impl in enumerate(matrix.impls)}
    return [f"{impl}: {', '.join(names)}: {reason}"
            for (impl, reason), names in sorted(found.items(), key=lambda i: (order[i[0][0]],
                                                                              i[0][1]))]


def _unexpected(matrix):
    found = []
    for checks in matrix.at.values():
        for check in checks:
            if not check["as_expected"]:
                shown = VERDICTS[check["status"]][0]
                found.append(f"{check['impl']} {check['property']}: {shown}, expected "
                             f"{check['expected']}: {check['reason'] or 'no reason given'}")
    return sorted(found)


def blocks(run, impls):
    """The section on promises; [] where the run has no checks. impls: their order."""
    if not run.checks:
        return []
    matrix = Matrix(run, impls)
    found = [Heading(2, "Which promises are kept", "promises")]
    if run.header["benches"]:
        found.append(Text("Of the properties that the benchmarks of this run rest on. A number "
                          "that rests on one that does not hold is marked unsafe (!).", "note"))
    unexpected = _unexpected(matrix)
    if unexpected:
        found.append(Text(f"{len(unexpected)} not as expected:", "warning"))
        found.append(Bullets(unexpected))
    found.append(_summary(matrix))
    inner = []
    for group, names in matrix.groups.items():
        inner += _group(matrix, group, names)
    if run.header["benches"]:
        found.append(Details("Each property", inner))
    else:
        found += inner
    bad = _by_reason(matrix, ("failed", "crashed", "timeout", "invalid"))
    if bad:
        found += [Heading(3, "Not kept"), Bullets(bad)]
    missing = _by_reason(matrix, ("unsupported",))
    if missing:
        found.append(Details(f"Not offered, and why ({len(missing)})", [Bullets(missing)]))
    found += _kernel(matrix)
    said = [block for check in run.checks if check.get("notes") and check["impl"] != KERNEL
            for block in (Text(f"{check['impl']}, {check['property']}:", "note"),
                          Text(check["notes"], "code"))]
    if said:
        found.append(Details("What checks found besides their verdict", said))
    found.append(Text("An implementation with a model of \"none\" runs each thread inside create: "
                      "it is the control, and has to fail whatever needs concurrency.", "note"))
    return found
