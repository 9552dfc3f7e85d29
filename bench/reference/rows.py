"""rows.py - what the reference programs share: timing as bench/programs/bench.c does it, and its rows."""
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


def measure_graph(torch, work, repeats, cold):
    """Seconds of a call from a replayed CUDA graph. Cold: one call after the L2 was filled with something else; warm:
    calls behind one another. What refuses to be captured is launched."""
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2 * repeats)]
    l2 = torch.empty(torch.cuda.get_device_properties(0).L2_cache_size, dtype=torch.uint8, device="cuda")

    def captured(calls):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(calls):
                work()
        return graph.replay

    def run(call):
        for _ in range(3):
            call()
        for begin, end in zip(events[::2], events[1::2]):
            if cold:
                l2.zero_()
            begin.record()
            call()
            end.record()
        torch.cuda.synchronize()
        return [1e-3 * begin.elapsed_time(end) for begin, end in zip(events[::2], events[1::2])]

    try:
        seconds = run(captured(1))
        once = sorted(seconds)[len(seconds) // 2]
        if cold or once > 1e-3:
            return seconds
        calls = max(1, min(20, int(1e-3 / once)))
        return [s / calls for s in run(captured(calls))]
    except RuntimeError as e:
        print("%s: launched, not captured: %s" % (sys.argv[0].rsplit("/", 1)[-1], str(e).splitlines()[0]),
              file=sys.stderr)
        torch.cuda.synchronize()
        return run(work)


def show(case, program, threads, work, unit, seconds, **more):
    row = {"case": case, "program": program, "threads": threads, "work": work, "unit": unit}
    row.update(more)
    row["seconds"] = [float("%.4g" % s) for s in seconds]
    print(json.dumps(row), flush=True)
