"""operations_torch.py - the operations of training in PyTorch: what ours are timed beside.

    python operations_torch.py B C D THREADS REPEATS                           rows as bench-operations prints
    python operations_torch.py B C D THREADS REPEATS cuda [fp32|tf32|fp16|bf16]   the same of a GPU, cold and warm

On a GPU every operation is captured as a CUDA graph, so that no time goes into launching from Python; what cannot be
captured is launched. Each as one would write it there: a fused call where PyTorch has one, the result in a given tensor where it takes one.
"""
import contextlib
import sys

import rows

torch, np = rows.need("torch", "numpy")
F = torch.nn.functional
SAMPLES, STEPS, PERMUTED = 50000, 10, 1000000


def main():
    B, C, d, threads, repeats = map(int, sys.argv[1:6])
    device, precision = (sys.argv[6:] + ["cpu", "fp32"][len(sys.argv) - 6 :])[:2]
    kind = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
    if device == "cuda":
        rows.need_cuda(torch)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.set_num_threads(threads)
    torch.manual_seed(42)
    if device != "cpu":  # PyTorch 1.13 has no such call
        torch.set_default_device(device)
    features = torch.rand(SAMPLES, d) * 0.2 - 0.1
    batch = torch.randperm(SAMPLES)[:B]
    Z, head = features[batch].to(kind), torch.nn.Linear(d, C)
    W, bias = head.weight.detach(), head.bias.detach()
    logits = F.linear(Z.float(), W, bias)
    P = torch.stack([logits.softmax(1)] * 2)
    Y, grad, residual = P.mean(0), torch.randn_like(W), torch.randn_like(logits)
    g = W.norm(dim=1, keepdim=True)
    numbers = np.random.RandomState(42)

    gpu = {"fused": True, "capturable": True} if device == "cuda" else {}
    adam = torch.optim.Adam(head.parameters(), lr=0.001, **gpu)
    moved = torch.nn.Parameter(W.clone())
    moved.grad = grad
    alone = torch.optim.Adam([moved], lr=0.001, **gpu)

    def product():
        return torch.addmm(bias, Z, W.t(), out=out)

    def product_16():
        return F.linear(Z, W.to(kind), bias.to(kind)).float()

    def autocast():  # weights change: none of their casts may be kept
        if kind == torch.float32:
            return contextlib.nullcontext()  # PyTorch 1.13 refuses the type even where it is disabled
        return torch.autocast(device, dtype=kind, cache_enabled=False)

    def inner_steps():
        for _ in range(STEPS):
            with autocast():
                loss = -(Y * F.log_softmax(head(Z).float(), 1)).sum(1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()

    def label_grad():
        log_p = F.log_softmax(product_16(), 1)
        return -(Y * log_p).sum(1).mean(), log_p / -B

    def cross_entropy():
        log_p = F.log_softmax(logits, 1)
        return -(Y * log_p).sum(1).mean(), (log_p.exp() - Y) / B, log_p / -B

    def task_grad():
        q = Y / 2 + 10.0 * (mean.log() + 1) / B
        return P[0] * (q - (P[0] * q).sum(1, keepdim=True))

    def weight_norm_grad():
        norm = W.norm(dim=1, keepdim=True)
        along = (grad * W).sum(1, keepdim=True) / norm
        return along, g / norm * grad - g * along / norm ** 2 * W

    mean = P[0].mean(0)
    flops, n = 1e-9 * B * C * d, 1e-9 * C * d
    out = torch.empty_like(logits)
    operations = (
        ("inner_steps, M 10", inner_steps, 4 * STEPS * flops, "GFLOP/s"),
        ("label_grad", label_grad, 2 * flops, "GFLOP/s"),
        ("matmul", product if kind == torch.float32 else product_16, 2 * flops, "GFLOP/s"),
        ("linear_grad", lambda: ((residual.t().to(kind) @ Z).float(), residual.sum(0)), 2 * flops, "GFLOP/s"),
        ("gather", lambda: torch.index_select(features, 0, batch).to(kind), (4 + Z.element_size()) * 1e-9 * B * d,
         "GB/s"),
        ("softmax", lambda: torch.softmax(logits, 1), 8e-9 * B * C, "GB/s"),
        ("label_mean, K 2", lambda: P.mean(0), 12e-9 * B * C, "GB/s"),
        ("batch_entropy, K 2", lambda: torch.special.entr(P.mean(1)).sum(1), 8e-9 * B * C, "GB/s"),
        ("cross_entropy", cross_entropy, 16e-9 * B * C, "GB/s"),
        ("task_grad", task_grad, 12e-9 * B * C, "GB/s"),
        ("weight_norm", lambda: W * (g / W.norm(dim=1, keepdim=True)), 8 * n, "GB/s"),
        ("weight_norm_grad", weight_norm_grad, 12 * n, "GB/s"),
        ("adam", alone.step, 28 * n, "GB/s"),
        ("argmax", lambda: logits.topk(2, 1), 4e-9 * B * C, "GB/s"),
        ("random_linear", lambda: torch.rand(C, d), 4 * n, "GB/s"),
        ("random_rows", lambda: torch.randperm(SAMPLES)[:B] if gpu else numbers.permutation(SAMPLES)[:B], 8e-9 * B, "GB/s"),
        ("numpy permutation of 1000000", lambda: numbers.permutation(PERMUTED), 8e-9 * PERMUTED, "GB/s"),
    )
    for name, work, amount, unit in operations:
        program = "PyTorch " + torch.__version__
        with torch.set_grad_enabled(name.startswith("inner")):
            if device == "cpu":
                rows.show("C %d %s" % (C, name), program, threads, amount, unit, rows.measure(work, repeats))
                continue
            with_precision = unit == "GFLOP/s" or name == "gather"
            if name.startswith("numpy") or not (with_precision or precision == "fp32"):
                continue
            case = "C %d %s%s" % (C, name, " " + precision if with_precision else "")
            for cold in (True, False):
                seconds = rows.measure_graph(torch, work, repeats, cold)
                rows.show(case + (", cold" if cold else ", warm"), program, 1, amount, unit, seconds)


if __name__ == "__main__":
    main()
