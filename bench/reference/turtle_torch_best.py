"""turtle_torch_best.py - TURTLE's training loop in PyTorch, written to win: what turtle_torch.py --gpu best times.

Features lie on the GPU in the precision of the products, rows come from a permutation drawn there once an epoch, Adam
is the fused one, and every choice below is timed in all combinations:

    precision   fp32, tf32, bf16, fp16    the matrix operands; sums, softmax, losses, Adam are float32 (autocast)
    gradient    autograd, closed          backward(), or softmax - Y multiplied with the batch by hand
    compiled    no, max-autotune          torch.compile over forward, inner step and outer loss
    graph       none, steps, iteration    launches one by one, a CUDA graph of the M inner steps, or of everything

Losses are multiplied by SCALE before their gradient is formed and Adam divides it out again, as a gradient scaler does:
a residual of 1e-5 / B would vanish in float16.
"""
import itertools
import sys
import time

import rows
from turtle_torch import F, Task, Turtle, np, torch

SCALE = 1024.0
COMPILE_SECONDS = 60  # of the budget must be left before a compilation begins, which takes tens of seconds
TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Replay:
    """A function of no arguments that is captured as a CUDA graph; on the CPU it is called. Either way it runs a few
    times first, and `state` - tensors - is put back after that."""

    def __init__(self, function, device, state):
        self.function, self.graph = function, None
        kept = [t.detach().clone() for t in state]
        if device == "cpu":
            for _ in range(2):
                function()
        else:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):
                    function()
            torch.cuda.current_stream().wait_stream(aside)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                function()
        with torch.no_grad():
            for t, saved in zip(state, kept):
                t.copy_(saved)

    def __call__(self):
        if self.graph:
            self.graph.replay()
        else:
            self.function()


class Best:
    def __init__(self, features, B, C, M=10, gamma=10.0, lr=0.001, warm=False, seed=42, device="cpu", recorded=True,
                 precision="fp32", gradient="autograd", compiled=False, graph="none"):
        self.precision, self.type, self.device = precision, TYPES[precision], device
        self.B, self.C, self.M, self.gamma, self.warm, self.gradient = B, C, M, gamma, warm, gradient
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        # The streams of the published implementation, where its records are to be met.
        self.streams = Turtle(features, B, C, M=0, warm=warm, seed=seed) if recorded else None
        self.N, self.d, K = len(features[0]), [f.shape[1] for f in features], len(features)
        self.features = [torch.as_tensor(f).to(device=device, dtype=self.type) for f in features]
        self.order, self.at, self.prepared = None, self.N, False

        # Everything an iteration touches keeps its place: a graph is a list of addresses.
        self.rows = torch.zeros(B, dtype=torch.int64, device=device)
        self.Z = [torch.zeros(B, d, dtype=self.type, device=device) for d in self.d]
        self.Y = torch.zeros(B, C, device=device)
        self.losses = torch.zeros(M, device=device)
        self.outer_losses, self.entropies = torch.zeros(K, device=device), torch.zeros(K, device=device)
        self.tasks = self.streams.tasks if recorded else [Task(d, C) for d in self.d]
        self.tasks = [t.to(device) for t in self.tasks]
        self.heads = [[torch.nn.Parameter(torch.empty(C, d, device=device)),
                       torch.nn.Parameter(torch.empty(C, device=device))] for d in self.d]
        self.fresh = [[torch.empty_like(p) for p in h] for h in self.heads]
        self.task_parameters = [p for t in self.tasks for p in t.parameters()]
        self.head_parameters = [p for h in self.heads for p in h]
        if recorded:
            self.take_heads(self.heads)
        else:
            self.draw_heads()
        self.outer, self.inner = self.adam(self.task_parameters, lr), self.adam(self.head_parameters, lr)

        if compiled:  # it gives up on a function that was compiled for eight others
            torch._dynamo.reset()
        options = {"mode": "max-autotune-no-cudagraphs" if device != "cpu" else "default", "dynamic": False}
        wrap = (lambda f: torch.compile(f, **options)) if compiled else (lambda f: f)
        self.forward, self.inner_loss = wrap(self.forward_plain), wrap(self.inner_loss_plain)
        self.closed_form, self.outer_loss = wrap(self.closed_form_plain), wrap(self.outer_loss_plain)

        state = self.task_parameters + self.head_parameters + self.adam_state(self.outer) + self.adam_state(self.inner)
        self.inner_steps = self.inner_steps_plain
        self.run = self.run_plain
        if graph == "steps":
            self.inner_steps = Replay(self.inner_steps_plain, device, state)
        if graph == "iteration":
            self.prepare()
            self.prepared = True
            self.run = Replay(self.run_plain, device, state)

    # --- Adam ---

    def adam(self, parameters, lr):
        """The fused one, its state in place: a step on zero gradients changes nothing but the count."""
        adam = torch.optim.Adam(parameters, lr=lr, fused=True, capturable=self.device != "cpu")
        for p in parameters:
            p.grad = torch.zeros_like(p)
        adam.step()
        for p in parameters:
            adam.state[p]["step"].zero_()
        adam.grad_scale = torch.full((), SCALE, device=self.device)
        adam.found_inf = torch.zeros((), device=self.device)
        return adam

    @staticmethod
    def adam_state(adam):
        return [t for s in adam.state.values() for t in (s["step"], s["exp_avg"], s["exp_avg_sq"])]

    # --- arithmetic ---

    def autocast(self):
        # no cache: the weights that it would keep change from step to step
        return torch.autocast(self.device, dtype=self.type, enabled=self.type != torch.float32, cache_enabled=False)

    def forward_plain(self):
        with self.autocast():
            return [t(z).float().softmax(1) for t, z in zip(self.tasks, self.Z)]

    def inner_loss_plain(self, Y):
        with self.autocast():
            return sum(-(Y * F.log_softmax(F.linear(z, *h).float(), 1)).sum(1).mean()
                       for z, h in zip(self.Z, self.heads))

    @torch.no_grad()
    def closed_form_plain(self, Y):
        """Loss and gradients of the heads: residual^T Z and its column sums."""
        loss, gradients = 0.0, []
        for z, (W, bias) in zip(self.Z, self.heads):
            log_p = F.log_softmax(F.linear(z, W.to(self.type), bias.to(self.type)).float(), 1)
            loss = loss - (Y * log_p).sum(1).mean()
            residual = (log_p.exp() - Y) * (SCALE / self.B)
            gradients += [(residual.to(self.type).t() @ z).float(), residual.sum(0)]
        return loss, gradients

    def outer_loss_plain(self, P, Y):
        with torch.no_grad(), self.autocast():
            logits = [F.linear(z, *h).float() for z, h in zip(self.Z, self.heads)]
        outer = torch.stack([-(Y * F.log_softmax(x, 1)).sum(1).mean() for x in logits])
        return outer, torch.stack([torch.special.entr(p.mean(0)).sum() for p in P])

    # --- the loop ---

    @torch.no_grad()
    def take_heads(self, into):
        for h, (weight, bias) in zip(self.streams.heads, into):
            weight.copy_(h.weight)
            bias.copy_(h.bias)

    @torch.no_grad()
    def draw_heads(self):
        for d, head in zip(self.d, self.heads):
            for p in head:
                p.uniform_(-d ** -0.5, d ** -0.5)

    def prepare(self):
        """What a graph cannot hold: the rows, and in recorded runs the heads, of the next iteration."""
        if self.streams:
            self.rows.copy_(torch.from_numpy(self.streams.numpy.permutation(self.N)[: self.B]))
            if not self.warm:
                self.streams.fresh_heads()
                self.take_heads(self.fresh)
            return
        if self.at + self.B > self.N:
            self.order, self.at = torch.randperm(self.N, device=self.device), 0
        self.rows.copy_(self.order[self.at : self.at + self.B])
        self.at += self.B

    @torch.no_grad()
    def reset_heads(self):
        if self.streams:
            torch._foreach_copy_(self.head_parameters, [f for fresh in self.fresh for f in fresh])
        else:
            self.draw_heads()
        torch._foreach_zero_(self.adam_state(self.inner))

    def inner_steps_plain(self):
        for m in range(self.M):
            if self.gradient == "closed":
                loss, gradients = self.closed_form(self.Y)
            else:
                loss = self.inner_loss(self.Y)
                gradients = torch.autograd.grad(loss * SCALE, self.head_parameters)
            for p, g in zip(self.head_parameters, gradients):
                p.grad = g
            self.inner.step()
            self.losses[m].copy_(loss.detach())

    def run_plain(self):
        for z, f in zip(self.Z, self.features):
            torch.index_select(f, 0, self.rows, out=z)
        P = self.forward()
        Y = sum(P) / len(P)
        self.Y.copy_(Y.detach())
        if not self.warm:
            self.reset_heads()
        self.inner_steps()
        outer, entropies = self.outer_loss(P, Y)
        gradients = torch.autograd.grad((outer.sum() - self.gamma * entropies.sum()) * SCALE, self.task_parameters)
        for p, g in zip(self.task_parameters, gradients):
            p.grad = g
        self.outer.step()
        self.outer_losses.copy_(outer.detach())
        self.entropies.copy_(entropies.detach())

    def iteration(self):
        if not self.prepared:
            self.prepare()
        self.prepared = False
        self.run()
        return self.losses, self.outer_losses, self.entropies


# --- checked on the CPU ------------------------------------------------------------------------------------------


def check(differences, runs, compiled):
    """All combinations against the records. Limits: float32 as everywhere 1e-5; what rounds operands to 8 or 11 bits
    moves a logit by at most 2 u max|z||w|, and losses of order 1 by no more than that: 2 u of bfloat16 (2^-9) is 4e-3,
    of float16 (2^-12) 5e-4."""
    try:
        torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], fused=True)
    except RuntimeError:  # before PyTorch 2.4
        print("PyTorch %s has no fused Adam on the CPU: the variant `best` is not checked with it" % torch.__version__)
        return True
    limits = {"fp32": 1e-5, "bf16": 4e-3, "fp16": 5e-4}
    runs, good = [r for r in runs if r[0] != "both_cold_fullbatch"], True
    for precision in limits:
        worst, count = 0.0, 0
        for gradient, graph in itertools.product(("autograd", "closed"), ("none", "steps", "iteration")):
            options = {"precision": precision, "gradient": gradient, "graph": graph}
            worst = max(worst, differences(lambda *a, **k: Best(*a, **options, **k), runs))
            count += 1
            if compiled and graph == "iteration":
                worst = max(worst, differences(lambda *a, **k: Best(*a, compiled=True, **options, **k), runs[1:3]))
                count += 1
        good &= worst <= limits[precision]
        print("PyTorch %s, best, %s, %d combinations: losses and entropies differ by %.1e at most (limit %.0e)"
              % (torch.__version__, precision, count, worst, limits[precision]))
    return good


# --- timed -------------------------------------------------------------------------------------------------------


def race(a, dims, case, program, work):
    """Every combination on a short run; then, for each precision, the fastest on a long one: a row."""
    torch.manual_seed(42)
    draw = torch.Generator(device=a.device).manual_seed(0)
    features = [torch.rand(a.N, d, generator=draw, device=a.device) * 0.2 - 0.1 for d in dims]
    combinations = itertools.product((False, True), ("iteration", "steps", "none"), ("closed", "autograd"),
                                     ("fp16", "bf16", "tf32", "fp32"))
    if a.device == "cpu":
        combinations = itertools.product((False,), ("iteration", "steps", "none"), ("closed", "autograd"), ("fp32",))
    found, deadline, late = {}, time.monotonic() + a.budget, 0

    def make(precision, gradient, compiled, graph):
        return Best(features, a.B, a.C, device=a.device, recorded=False, precision=precision, gradient=gradient,
                    compiled=compiled, graph=graph)

    for compiled, graph, gradient, precision in combinations:
        if time.monotonic() > deadline - (COMPILE_SECONDS if compiled else 0):
            late += 1
            continue
        options = precision, gradient, compiled, graph
        name = "%s, %s%s, graph: %s" % (precision, gradient, ", max-autotune" if compiled else "", graph)
        try:
            best = make(*options)
            seconds = rows.measure_queue(torch, best.iteration, 5, 20, a.device)
        except Exception as e:  # one way that does not work is no reason to leave out the others
            print("turtle_torch_best: %s: left out: %s" % (name, str(e).splitlines()[0] if str(e) else type(e).__name__),
                  file=sys.stderr)
            continue
        found[name] = (float(np.median(seconds)), options)
        print("turtle_torch_best: %s: %s: %.3f ms" % (case, name, 1e3 * found[name][0]), file=sys.stderr)
    if late:
        print("turtle_torch_best: %d combinations were not timed: the %.0f s of --budget are over" % (late, a.budget),
              file=sys.stderr)
    for precision in TYPES:
        ranked = sorted((s, name, o) for name, (s, o) in found.items() if o[0] == precision)
        if not ranked:
            continue
        best = make(*ranked[0][2])
        seconds = rows.measure_queue(torch, best.iteration, a.warmup, a.repeats, a.device)
        rows.show(case, "%s best %s" % (program, precision), a.threads, work, "GFLOP/s", seconds, options=ranked[0][1],
                  combinations={name: float("%.4g" % s) for s, name, _ in ranked}, not_timed=late)
