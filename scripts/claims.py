"""What papers and textbooks claim of threads, each with what would show it. Only data.

A claim stands where its evidence holds (evidence.py); `refutes`: evidence that holds speaks against
the claim as it is worded. A limit is the one that the claim implies; where it implies none, the
number is given and the claim stands on the rest. `remark` says what the wording leaves out.
"""

import dataclasses

from evidence import Kept, Measured, Ratio
from report_required import Side

POWELL = "Powell et al. 1991, \"SunOS Multi-thread Architecture\""
STEIN = "Stein and Shah 1992, \"Implementing Lightweight Threads\""
EYKHOLT = "Eykholt et al. 1992, \"Beyond Multiprocessing\""
ANDERSON = "Anderson et al. 1991, \"Scheduler Activations\""
POSIX = "POSIX.1-2017"
LINUX = "Linux manual pages"
PRACTICE = "common teaching"


@dataclasses.dataclass(frozen=True)
class Claim:
    group: str
    text: str
    source: str
    evidence: tuple
    refutes: bool = False
    remark: str = ""


_MODELS, _TOGETHER, _SIGNALS, _LINUX = (
    "Models and data structures", "Library and kernel together", "Signals and interrupts", "Linux")
_YIELD = {"threads": 2}
_ONE = {"stack": 65536, "guard": "on"}
_PIPE = {"how": "pipe", "block_ms": (20, 5)}
_FIB = {"n": (25, 20, 15)}
_HOLDER = {"cs_ns": 20000, "think_ns": 20000, "threads": 8}


def _side(bench, impl, axes=None, parallel=False, **params):
    return Side(bench, impl, axes or {}, {name: str(value) for name, value in params.items()},
                parallel)


CLAIMS = (
    Claim(_MODELS,
          "A switch between user-level threads, and a warm create, never enter the kernel.",
          ANDERSON, (
              Kept(("switch.no-syscall", "create.no-syscall"), ("green", "hybrid")),
              Ratio("hand-over by yield, nptl to green", _side("switch.yield", "nptl", _YIELD),
                    _side("switch.yield", "green", _YIELD), least=1),
              Ratio("create and join, nptl to green", _side("create.join", "nptl", _ONE),
                    _side("create.join", "green", _ONE), least=1))),
    Claim(_MODELS, "One blocking call of a thread blocks all threads of its kernel thread.",
          PRACTICE, (
              Measured("longest gap of the others beside a plain read of 5 ms or 20, green",
                       _side("stall.matrix", "green", _PIPE | {"call": "plain"}), "longest-gap",
                       least=4e6),
              Measured("the same by a jacket", _side("stall.matrix", "green",
                                                     _PIPE | {"call": "jacket"}),
                       "longest-gap", most=4e6))),
    Claim(_MODELS,
          "Making the call non-blocking (a jacket) cures that, for every call.", PRACTICE, (
        Kept(("progress.block-pagefault",), ("green",)),),
          remark="A page fault is no call, and O_NONBLOCK does nothing for a regular file."),
    Claim(_MODELS, "Each process may have a scheduling algorithm of its own.", PRACTICE, (
        Kept(("policy.fifo", "policy.lifo", "policy.priority"), ("green", "hybrid")),)),
    Claim(_MODELS,
          "Kernel threads are virtual CPUs: with one for each CPU work ends sooner.", STEIN, (
        Ratio("Fibonacci numbers by threads, on one kernel thread to two, hybrid",
              _side("tree.fib", "hybrid", _FIB, True, lwps=1),
              _side("tree.fib", "hybrid", _FIB, True, lwps=2), least=1),)),
    Claim(_MODELS, "The library knows id, state, stack and place of each thread.", POWELL, (
        Kept(("table.lists-every-thread", "table.states"), ("green", "hybrid")),)),
    Claim(_MODELS, "An ID is an index into a table: stale and garbage IDs are detected.", POWELL, (
        Kept(("id.stale", "id.garbage"), ("green", "hybrid")),),
          remark="In glibc an ID is a pointer."),
    Claim(_MODELS, "A red zone catches an overflow and tells which thread it was.", POWELL, (
        Kept(("guard.hit", "guard.names-thread", "guard.jump", "guard.large-frame")),)),
    Claim(_MODELS, "The kernel can grow the stack of a thread that it knows.", PRACTICE, (
        Kept(("stack.no-growth",)),), refutes=True,
          remark="On Linux only the first stack of a process grows."),
    Claim(_MODELS, "errno and thread-local storage belong to the thread.", POSIX, (
        Kept(("errno.private", "errno.private-block", "tls.private", "tls.follows")),
        Ratio("a switch that carries the TLS register, to one that carries errno only",
              _side("switch.workset", "green", {"threads": 2, "ws": 0}, tls="full"),
              _side("switch.workset", "green", {"threads": 2, "ws": 0}, tls="errno")))),
    Claim(_MODELS, "A switch of threads is cheaper than a switch of processes.", PRACTICE, (
        Ratio("hand-over by a futex between processes, to nptl's by semaphore between threads",
              _side("switch.process", "-", {"ipc": "futex"}), _side("switch.sem", "nptl"),
              least=1),),
          remark="Tagged TLB entries make it less true than it was; a semaphore is more than a "
                 "futex."),
    Claim(_TOGETHER, "When all kernel threads block, others are added, and work goes on.", STEIN, (
        Kept(("concurrency.set-get", "concurrency.adds", "stall.noticed"), ("hybrid",)),
        Measured("rounds in which nobody noticed, told by the kernel's switch records",
                 _side("stall.detector", "hybrid", {"call": "read"}, True, detector="perf"),
                 "missed", most=5),
        Measured("sampling /proc instead",
                 _side("stall.detector", "hybrid", {"call": "read"}, True, detector="proc"),
                 "missed"),
        Measured("wrapped calls only, and a plain read",
                 _side("stall.detector", "hybrid", {"call": "read"}, True, detector="jacket"),
                 "missed"))),
    Claim(_TOGETHER, "Idle kernel threads are taken back.", STEIN, (
        Kept(("concurrency.retires",), ("hybrid",)),)),
    Claim(_TOGETHER, "An invisible preemption of a lock's holder stops the others.", ANDERSON, (
        Measured("longest stall of a spin lock, 8 threads on the CPUs of the run, nptl",
                 _side("lock.holder", "nptl", _HOLDER | {"kind": "spin"}, True), "max_stall",
                 least=1e6),
        Measured("of one that blocks", _side("lock.holder", "nptl", _HOLDER | {"kind": "block"},
                                             True), "max_stall"),
        Measured("of user-level threads on as many kernel threads as CPUs",
                 _side("lock.holder", "hybrid", _HOLDER | {"kind": "block"}, True), "max_stall"))),
    Claim(_TOGETHER,
          "Every entry of the scheduler is seen: yield, timer, synchronisation, wake-up.",
          PRACTICE, (Kept(("counters.yields", "counters.timers", "counters.waits")),)),
    Claim(_TOGETHER, "A bound thread keeps its kernel thread, and costs more.", POWELL, (
        Kept(("bound.same-kernel-thread", "bound.later"), ("hybrid",)),
        Ratio("create and join, bound to unbound, hybrid",
              _side("create.bound", "hybrid", {"scope": "bound"}),
              _side("create.bound", "hybrid", {"scope": "unbound"}), least=1)),
          remark="Bound to a kernel thread, not to a CPU."),
    Claim(_TOGETHER, "A signal gets at a thread on another CPU; a shared word is much faster.",
          PRACTICE, (
              Ratio("a signal to a running thread, to a word that it polls, nptl",
                    _side("preempt.direct", "nptl", {"by": "signal-running"}, True),
                    _side("preempt.direct", "nptl", {"by": "word-running"}, True), least=1),)),
    Claim(_TOGETHER, "Preemption of user-level threads costs under 1% at a quantum of 1 ms.",
          "Shiina et al. 2021", (
              Kept(("preempt.spinner", "preempt.malloc", "preempt.stdio", "preempt.errno"),
                   ("green", "hybrid")),
              Ratio("time of a computation with the timer at 1 ms, to without, hybrid",
                    _side("preempt.spin", "hybrid", preempt="timer", quantum=1000),
                    _side("preempt.spin", "hybrid", preempt="off", quantum=1000), most=1.01))),
    Claim(_TOGETHER, "A recycled thread is cheaper to make, and carries nothing over.", POWELL, (
        Kept(("recycle.clean", "recycle.destructors"), ("green", "hybrid", "clone")),
        Ratio("create and join, new stacks to kept ones, green",
              _side("create.join", "green", _ONE, recycle="none"),
              _side("create.join", "green", _ONE, recycle="stack"), least=1))),
    Claim(_SIGNALS,
          "SIGKILL and SIGSTOP cannot be caught; the others act as the table says.", POSIX, (
        Kept(("default.actions", "default.uncatchable")),)),
    Claim(_SIGNALS, "A handler that wants a lock of its thread deadlocks; masking cures it.",
          PRACTICE, (Kept(("handler.mutex-deadlock", "handler.mutex-masked")),)),
    Claim(_SIGNALS,
          "Standard signals are merged while blocked; real-time ones are queued.", POSIX, (
        Kept(("blocked.coalesces", "rt.queues", "rt.order")),),
          remark="The queue has an end: EAGAIN (rt.overflow)."),
    Claim(_SIGNALS, "A handler has to be set again each time.", PRACTICE, (
        Kept(("oneshot.resethand",)),), refutes=True,
          remark="System V only; SA_RESETHAND asks for it."),
    Claim(_SIGNALS,
          "A signal to the process is handled by one thread that has it unblocked.", POSIX, (
        Kept(("signal.process-once", "signal.process-open-thread")),)),
    Claim(_SIGNALS, "One thread may take all signals, by sigwait.", POSIX, (
        Kept(("sigwait.exactly-once",)),)),
    Claim(_SIGNALS, "The library can route signals by masks of its own, in four cases.", STEIN, (
        Kept(("mask.case1", "mask.case2", "mask.case3", "mask.case4", "mask.per-thread")),)),
    Claim(_SIGNALS,
          "A mask in the library makes changes of it cheap, and deliveries dearer.", STEIN, (
        Kept(("mask.no-syscall",), ("green", "hybrid")),
        Measured("one change, hybrid", _side("signal.mask-change", "hybrid"), "change"),
        Measured("by the kernel", _side("signal.mask-change", "hybrid"), "change-kernel"),
        Measured("changes a delivery from which on it is the cheaper way",
                 _side("signal.mask-change", "hybrid"), "break-even"))),
    Claim(_SIGNALS,
          "Interrupts as threads pay from 3.33 lock operations an interrupt on.", EYKHOLT, (
        Measured("in user land, hybrid", _side("signal.interrupts", "hybrid",
                                               {"variant": "thread", "locks": 3}), "break-even",
                 least=3.33 / 1.5, most=3.33 * 1.5),),
          remark="The paper's count: 40 instructions more an interrupt, 12 less a lock operation."),
    Claim(_LINUX, "Threads of a process share its PID, and each has a TID.", LINUX, (
        Kept(("pid.shared", "tid.one-per-kernel-thread")),)),
    Claim(_LINUX, "With all flags of clone set the child is a thread.", PRACTICE, (
        Kept(("clone.flags",)),), refutes=True, remark="All bits set is EINVAL."),
    Claim(_LINUX, "fork costs more than a thread, since it copies memory.", PRACTICE, (
        Ratio("fork of a process of 64 MiB to create and join, nptl",
              _side("fork.memory", "nptl", {"how": "fork", "rss": 67108864}),
              _side("create.join", "nptl", _ONE), least=1),
        Ratio("of 64 MiB to 1 MiB",
              _side("fork.memory", "nptl", {"how": "fork", "rss": 67108864}),
              _side("fork.memory", "nptl", {"how": "fork", "rss": 1048576}))),
          remark="Page tables are copied, pages are not until one is written."),
    Claim(_LINUX, "fork leaves one thread in the child, fork_all every one.", POWELL, (
        Kept(("fork.one-thread",)), Kept(("fork.all",), ("green", "hybrid")))),
    Claim(_LINUX,
          "Handlers of fork: prepare runs last in, first out, the others in order.", POSIX, (
        Kept(("fork.atfork-order",)),)),
    Claim(_LINUX, "The end of one thread leaves the others; a crash of one ends all.", POSIX, (
        Kept(("crash.ends-all", "run.waits-for-all")),)),
    Claim(_LINUX, "Extreme numbers of threads still want user-level threads.", PRACTICE, (
        Kept(("limit.first",)),
        Measured("memory of each of 1,000,000 parked threads, hybrid",
                 _side("create.parked", "hybrid", {"threads": 1000000}), "resident"))),
)
