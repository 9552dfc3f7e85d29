"""rows.py - what the reference programs share: timing as bench/bench.c does it, and its rows."""
import importlib
import json
import sys
import time


def need(*modules):
    """The modules, or a line and exit status 3: bench/run leaves this program out."""
    try:
        found = [importlib.import_module(m) for m in modules]
    except ImportError as e:
        print("%s: left out: %s" % (sys.argv[0].rsplit("/", 1)[-1], e), file=sys.stderr)
        sys.exit(3)
    return found[0] if len(found) == 1 else found


def measure(work, repeats):
    """Seconds of each repeat, after two calls to warm up; what takes under 10 ms runs many times in one."""
    work()
    start = time.perf_counter()
    work()
    once = time.perf_counter() - start
    calls = int(0.01 / (once + 1e-7)) + 1 if once < 0.01 else 1
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        seconds.append((time.perf_counter() - start) / calls)
    return seconds


def need_cuda(torch):
    """A GPU, or a line and exit status 3."""
    if not torch.cuda.is_available():
        print("%s: left out: PyTorch sees no GPU" % sys.argv[0].rsplit("/", 1)[-1], file=sys.stderr)
        sys.exit(3)


def measure_queue(torch, work, warmup, repeats, device):
    """Seconds of each repeat between events of the GPU, enqueued one behind the other; nothing is waited for but by
    `work` itself. On the CPU by the clock."""
    for _ in range(warmup):
        work()
    if device == "cpu":
        return measure(work, repeats)
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    torch.cuda.synchronize()
    marks[0].record()
    for mark in marks[1:]:
        work()
        mark.record()
    torch.cuda.synchronize()
    return [1e-3 * a.elapsed_time(b) for a, b in zip(marks, marks[1:])]


def show(case, program, threads, work, unit, seconds, **more):
    row = {"case": case, "program": program, "threads": threads, "work": work, "unit": unit}
    row.update(more)
    row["seconds"] = [float("%.4g" % s) for s in seconds]
    print(json.dumps(row), flush=True)
