"""layers_torch.py - the products, convolutions and attention of bench-layers in PyTorch, on the same GPU.

    python layers_torch.py --rows FILE [--repeats R --budget SECONDS]

FILE holds rows of bench-layers; each shape that is there is timed as it is named:

    linear ROWSxOUTxIN [activation] [add] [gate]    matmul: the product alone; addmm: with a bias; eager: all of it
    conv IMAGESxHEIGHTxWIDTH IN>OUT KxK sS pP       conv2d in channels-last, with bias, activation and sum
    attention BATCHxHEADS QUERIESxKEYS WIDTH        scaled_dot_product_attention: each of its kernels, the fastest counts

Calls are replayed from a CUDA graph, one behind the other, as ours are.
"""
import argparse
import json
import re
import sys
import time

import rows

torch = rows.need("torch")
F = torch.nn.functional
TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "gelutanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu,
               "quickgelu": lambda x: x * torch.sigmoid(1.702 * x)}


def numbers(*shape):
    return torch.rand(*shape, device=DEVICE, dtype=TYPE) * 0.2 - 0.1


def finish(y, words, other):
    """What follows the product, as a network in PyTorch has it."""
    if "add" in words:
        y = y + other
    for word in words:
        y = ACTIVATIONS[word](y) if word in ACTIVATIONS else y
    return y * other if "gate" in words else y


def linear(sizes, words):
    n, out, depth = sizes
    x, w, bias, y = numbers(n, depth), numbers(out, depth), numbers(out), numbers(n, out)
    other = numbers(n, out) if words else None
    ways = {"matmul": lambda: torch.mm(x, w.t(), out=y), "addmm": lambda: torch.addmm(bias, x, w.t(), out=y)}
    if words:
        ways["eager"] = lambda: finish(F.linear(x, w, bias), words, other)
    return ways


def conv(sizes, words):
    images, height, width, inputs, out, kernel, _, stride, pad = sizes
    last = torch.channels_last
    x = numbers(images, inputs, height, width).contiguous(memory_format=last)
    w, bias = numbers(out, inputs, kernel, kernel).contiguous(memory_format=last), numbers(out)
    other = torch.empty_like(F.conv2d(x, w, bias, stride, pad)).fill_(0.1)
    return {"conv2d": lambda: finish(F.conv2d(x, w, bias, stride, pad), words, other)}


def attention(sizes, words):
    B, heads, queries, keys, width = sizes
    q = numbers(B, queries, heads, width).transpose(1, 2)
    k, v = (numbers(B, keys, heads, width).transpose(1, 2) for _ in "kv")
    causal = "causal" in words
    kinds = {"": None}
    if hasattr(torch.nn, "attention") and hasattr(torch.nn.attention, "sdpa_kernel"):
        kernels = torch.nn.attention.SDPBackend
        kinds.update({name: getattr(kernels, name) for name in ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION")
                      if hasattr(kernels, name)})

    def way(kind):
        if kind is None:
            return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal)

        def run():
            with torch.nn.attention.sdpa_kernel(kind):
                return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

        return run

    return {name: way(kind) for name, kind in kinds.items()}


def median(seconds):
    return sorted(seconds)[len(seconds) // 2]


def timed(case, ways, repeats):
    """Seconds of each way that works."""
    found = {}
    for name, work in ways.items():
        try:
            work()
            found[name] = (rows.measure(work, repeats) if DEVICE == "cpu"
                           else rows.measure_graph(torch, work, repeats, False))
        except RuntimeError as e:
            print("layers_torch.py: %s, %s: left out: %s" % (case, name, str(e).split("\n")[0]), file=sys.stderr)
    return found


def time_case(case, work, unit, repeats):
    kind, *words = case.split()[:-1]
    words = [word for word in words if not re.search("[0-9]", word)]
    sizes = [int(number) for number in re.findall("[0-9]+", case.rsplit(" ", 1)[0])]
    found = timed(case, {"linear": linear, "conv": conv, "attention": attention}[kind](sizes, words), repeats)
    name = "PyTorch " + torch.__version__
    if kind == "attention" and found:
        best = min(found, key=lambda way: median(found[way]))
        rows.show(case, name + " sdpa", 1, work, unit, found[best], kernel=best or "default")
    elif kind != "attention":
        for way, seconds in found.items():
            rows.show(case, name + " " + way, 1, work, unit, seconds)


def main():
    global DEVICE, TYPE
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", required=True, help="rows of bench-layers, one a line")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--budget", type=float, default=300.0, help="seconds after which no further shape begins")
    parser.add_argument("--device", default="cuda", help="cpu: for a check of this program")
    a = parser.parse_args()
    DEVICE, late, deadline = a.device, 0, time.monotonic() + a.budget
    if DEVICE != "cpu":
        rows.need_cuda(torch)
        torch.backends.cudnn.benchmark = True
    with open(a.rows) as f:
        given = [json.loads(line) for line in f if line.startswith("{")]
    mine = {row["case"] for row in given if row["program"].startswith("PyTorch")}
    with torch.inference_mode():
        for row in given:
            case = row["case"]
            if case in mine or not re.match("(linear|conv|attention) .* (fp32|fp16|bf16)$", case):
                continue
            if time.monotonic() > deadline:
                late += 1
                continue
            TYPE = TYPES[case.split()[-1]]
            time_case(case, row["work"], row["unit"], a.repeats)
    if late:
        print("layers_torch.py: %d shapes were not timed: the %.0f s of --budget are over" % (late, a.budget),
              file=sys.stderr)


DEVICE, TYPE = "cuda", torch.float16

if __name__ == "__main__":
    main()
