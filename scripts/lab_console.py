"""What the machine of the lab says on its console, for people: the driver writes its progress over
itself there, with the machine's own times, which mean nothing outside."""

import re
import sys
import time

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
STEP = re.compile(r"\d+% (\d+)/(\d+)\b")
PLAN = re.compile(r"\d+ cells \((\d+) can run here\)")
EVERY = 30.0  # seconds between two lines of progress
MANY = 40  # cells, whose boot takes minutes


class Console:
    """name: what the machine counts, for its lines; quiet: only how far it is."""

    def __init__(self, name="", quiet=False, now=time.monotonic):
        self.name, self.quiet, self.now = f"{name}: " if name else "", quiet, now
        self.lines = []
        self.began = self.said = now()

    def __call__(self, line):
        text = ESCAPE.sub("", line).strip()
        step, plan = STEP.match(text), PLAN.match(text)
        if step:
            if self.now() - self.said >= EVERY:
                self.said = self.now()
                spent, done, all_ = self.said - self.began, int(step[1]), int(step[2])
                left = f", about {spent / done * (all_ - done):.0f} s left" if done else ""
                self.say(f"{done} of {all_} cells, {spent:.0f} s{left}")
        elif text:
            self.lines.append(text)
            if not self.quiet:
                print(text, file=sys.stderr, flush=True)
            elif plan:
                self.say(f"{plan[1]} cells to count" + (
                    ", some seconds each: fewer by --bench, --impl or --set threads=2"
                    if int(plan[1]) > MANY else ""))

    def say(self, text):
        print(f"lab: {self.name}{text}", file=sys.stderr, flush=True)

    @property
    def last(self):
        return self.lines[-1] if self.lines else "it said nothing"
