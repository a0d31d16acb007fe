"""A scorecard: the claims (claims.py) against the evidence in records (evidence.py), as blocks of
a report (report_render.py). Pure.
"""

import claims
import evidence
import threadlab_records
from report_render import Heading, Sub, Table, Text

HOLDS, PARTLY, REFUTED, OPEN = "holds", "not everywhere", "refuted", "open"
_KIND = {HOLDS: "good", PARTLY: "bad", REFUTED: "bad", OPEN: ""}


def verdict(claim, answers):
    """One of the four; open where any piece of evidence is missing and no other one decides."""
    holds = [answer.holds for answer in answers if answer.decides]
    if False in holds:
        partly = True in holds or any(answer.partly for answer in answers)
        # What was to refute the claim and does not: it stands where that failed.
        return PARTLY if claim.refutes or partly else REFUTED
    if None in holds:
        return OPEN
    return REFUTED if claim.refutes else HOLDS


def judged(runs, of=claims.CLAIMS):
    """[(claim, verdict, answers)]. ValueError: runs of several machines, or emulated ones."""
    hosts = sorted({run.host for run in runs})
    if len(hosts) > 1:
        raise ValueError(f"records of {len(hosts)} machines ({', '.join(hosts)}): "
                         "give those of one")
    for run in runs:
        why = threadlab_records.no_times(run.header)
        if why:
            raise ValueError(f"run {run.id} was {why}: its times say nothing of a machine")
    records = evidence.Records(runs)
    found = []
    for claim in of:
        answers = [one.of(records) for one in claim.evidence]
        found.append((claim, verdict(claim, answers), answers))
    return found


def blocks(runs):
    found = judged(runs)
    counts = {word: sum(v == word for _, v, _ in found) for word in _KIND}
    said = [Heading(1, "Claims about threads, and what this machine says"),
            Text(", ".join(f"{n} {word}" for word, n in counts.items() if n)
                 + f", of {len(found)}. Records: "
                 + ", ".join(f"{run.host} {run.id}" for run in runs) + "."),
            Text("Kept by: the properties' checks pass; an implementation that does not offer "
                 "one is not counted. Ratios are of one run. A claim is open where these records "
                 "do not answer all that it needs.", "note")]
    for group in dict.fromkeys(claim.group for claim, _, _ in found):
        rows = []
        for claim, word, answers in found:
            if claim.group != group:
                continue
            first = [Sub(claim.text, " ".join(filter(None, (claim.source + ".", claim.remark)))),
                     Sub(word, "", _KIND[word])]
            for answer in answers:
                rows.append([*first, answer.text])
                first = ["", ""]
        said += [Heading(2, group), Table(["claim", "verdict", "evidence"], rows, left=3)]
    return said
