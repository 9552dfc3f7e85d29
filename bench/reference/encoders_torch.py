"""encoders_torch.py - image encoders of CLIP, DINOv2, DINOv3 and SigLIP in plain PyTorch: what ours are timed beside.

    python encoders_torch.py --weights FILE --input X.npy --expect Y.npy [--threads N --repeats R --precision bf16] [--gpu]

The features of images X (B,side,side,3) are compared with Y; then, with --repeats, one row is printed, as bench-encoders
prints it. PyTorch takes the fastest stock operations that it has: fused attention where it exists, batch norm folded into
the convolutions, channels-last where that is faster, inference mode. encoders_openvino.py and encoders_onnxruntime.py
convert these networks.

With --gpu the images lie on the GPU, normalised and in the precision of the network. Rows are PyTorch as it stands, a
replayed CUDA graph of it, and torch.compile with tuned products. A way that fails is one line.
"""
import argparse
import os
import sys

import rows

torch, numpy = rows.need("torch", "numpy")
F = torch.nn.functional


def attention(q, k, v):
    """(B, heads, T, head) -> (B, T, width)"""
    if hasattr(F, "scaled_dot_product_attention"):
        out = F.scaled_dot_product_attention(q, k, v)
    else:
        out = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1) @ v
    return out.transpose(1, 2).flatten(2)


def heads(x, head=64):
    B, T, d = x.shape
    return x.view(B, T, d // head, head).transpose(1, 2)


class Transformer:
    """Pre-norm blocks; `names` maps our parts to the file's."""

    def __init__(self, w, prefix, names, activation, eps, dtype, rotate=None, head=64):
        self.activation, self.eps, self.blocks, self.rotate = activation, eps, [], rotate or (lambda x: x)
        self.head = head
        while prefix + "%d." % len(self.blocks) + names["norm1"] + "weight" in w:
            block = prefix + "%d." % len(self.blocks)
            part = {k: (w.get(block + n + "weight"), w.get(block + n + "bias")) for k, n in names.items()}
            mask = w.get(block + "attn.qkv.bias_mask")
            if mask is not None:
                part["qkv"] = part["qkv"][0], part["qkv"][1] * mask
            for i in (1, 2):  # LayerScale is folded into the projection in front of it
                gamma = w.get(block + "ls%d.gamma" % i)
                if gamma is not None:
                    key = "proj" if i == 1 else "fc2" if part["fc2"][0] is not None else "w3"
                    weight, bias = part[key]
                    part[key] = (weight * gamma[:, None], bias * gamma)
            self.blocks.append({k: tuple(x if x is None else x.to(dtype) for x in v) for k, v in part.items()})

    def __call__(self, x):
        d = x.shape[-1]
        for p in self.blocks:
            q, k, v = F.linear(F.layer_norm(x, (d,), *p["norm1"], self.eps), *p["qkv"]).chunk(3, -1)
            q, k, v = (heads(part, self.head) for part in (q, k, v))
            x = x + F.linear(attention(self.rotate(q), self.rotate(k), v), *p["proj"])
            h = F.layer_norm(x, (d,), *p["norm2"], self.eps)
            if p["w12"][0] is not None:
                gate, value = F.linear(h, *p["w12"]).chunk(2, -1)
                x = x + F.linear(F.silu(gate) * value, *p["w3"])
            else:
                x = x + F.linear(self.activation(F.linear(h, *p["fc1"])), *p["fc2"])
        return x


CLIP_BLOCK = {"norm1": "ln_1.", "qkv": "attn.in_proj_", "proj": "attn.out_proj.", "norm2": "ln_2.",
              "fc1": "mlp.c_fc.", "fc2": "mlp.c_proj.", "w12": "-", "w3": "-"}
DINO_BLOCK = {"norm1": "norm1.", "qkv": "attn.qkv.", "proj": "attn.proj.", "norm2": "norm2.",
              "fc1": "mlp.fc1.", "fc2": "mlp.fc2.", "w12": "mlp.w12.", "w3": "mlp.w3."}


def clip_vit(w, dtype):
    patch = w["visual.conv1.weight"].shape[-1]
    blocks = Transformer(w, "visual.transformer.resblocks.", CLIP_BLOCK, lambda x: x * torch.sigmoid(1.702 * x), 1e-5,
                         dtype)
    d = w["visual.conv1.weight"].shape[0]
    w = {k: v.to(dtype) for k, v in w.items() if k.startswith("visual.") and "resblocks" not in k}
    norm = {n: (w["visual." + n + ".weight"], w["visual." + n + ".bias"]) for n in ("ln_pre", "ln_post")}

    def run(images):
        x = F.conv2d(images, w["visual.conv1.weight"], stride=patch).flatten(2).transpose(1, 2)
        x = torch.cat([w["visual.class_embedding"].expand(len(x), 1, d), x], 1) + w["visual.positional_embedding"]
        x = blocks(F.layer_norm(x, (d,), *norm["ln_pre"], 1e-5))
        return F.layer_norm(x[:, 0], (d,), *norm["ln_post"], 1e-5) @ w["visual.proj"]

    return run


def dino_vit(w, first, position, blocks, eps, dtype):
    """The trunk of DINOv2 and DINOv3: `first` (1,prefix,d) are the class token and registers, `position` is added."""
    names = "patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias"
    weight, bias, *norm = (w[name].to(dtype) for name in names)
    first, d, patch = first.to(dtype), weight.shape[0], weight.shape[-1]

    def run(images):
        x = F.conv2d(images, weight, bias, stride=patch).flatten(2).transpose(1, 2)
        x = x if position is None else x + position.to(dtype)
        x = blocks(torch.cat([first.expand(len(x), -1, d), x], 1))
        return F.layer_norm(x[:, 0], (d,), *norm, eps)

    return run


def dinov2(w, dtype):
    patch, table = w["patch_embed.proj.weight"].shape[-1], w["pos_embed"]
    side = round((table.shape[1] - 1) ** 0.5)
    grid = 16 if patch == 14 and side == 37 else side
    registers = w.get("register_tokens")
    cells = table[:, 1:].view(1, side, side, -1).permute(0, 3, 1, 2)
    if grid != side and registers is None:
        cells = F.interpolate(cells, scale_factor=(grid + 0.1) / side, mode="bicubic")
    elif grid != side:
        cells = F.interpolate(cells, size=(grid, grid), mode="bicubic", antialias=True)
    first = w["cls_token"] + table[:, :1]
    if registers is not None:
        first = torch.cat([first, registers], 1)
    blocks = Transformer(w, "blocks.", DINO_BLOCK, F.gelu, 1e-6, dtype)
    return dino_vit(w, first, cells.flatten(2).transpose(1, 2), blocks, 1e-6, dtype)


def dinov3(w, dtype, side):
    patch, first = w["patch_embed.proj.weight"].shape[-1], w["cls_token"]
    if "storage_tokens" in w:
        first = torch.cat([first, w["storage_tokens"]], 1)
    prefix, grid = first.shape[1], side // patch
    place = (torch.arange(grid) + 0.5) / grid * 2 - 1
    place = torch.stack(torch.meshgrid(place, place, indexing="ij"), -1).view(-1, 2, 1)
    angles = (2 * torch.pi * place / w["rope_embed.periods"]).flatten(1).tile(2)
    angles = torch.cat([torch.zeros(prefix, angles.shape[1]), angles])  # the class token and registers stay as they are
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)

    def rotate(x):
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat([-b, a], -1) * sin

    return dino_vit(w, first, None, Transformer(w, "blocks.", DINO_BLOCK, F.gelu, 1e-5, dtype, rotate), 1e-5, dtype)


def siglip(w, dtype):
    """SigLIP and SigLIP 2 as timm names the tensors: no class token, a probe that pools; GELU with erf."""
    d, head = w["pos_embed"].shape[-1], 72 if w["pos_embed"].shape[-1] == 1152 else 64
    blocks = Transformer(w, "blocks.", DINO_BLOCK, F.gelu, 1e-6, dtype, head=head)
    part = {k: v.to(dtype) for k, v in w.items() if not k.startswith("blocks.")}
    weight, bias, table = part["patch_embed.proj.weight"], part["patch_embed.proj.bias"], part["pos_embed"]
    norm, pool_norm = ((part[n + "weight"], part[n + "bias"]) for n in ("norm.", "attn_pool.norm."))
    pool = {n: (part["attn_pool.%s.weight" % n], part["attn_pool.%s.bias" % n])
            for n in ("q", "kv", "proj", "mlp.fc1", "mlp.fc2")}
    query = heads(F.linear(part["attn_pool.latent"], *pool["q"]), head)

    def run(images):
        x = F.conv2d(images, weight, bias, stride=weight.shape[-1]).flatten(2).transpose(1, 2)
        x = F.layer_norm(blocks(x + table), (d,), *norm, 1e-6)
        k, v = (heads(half, head) for half in F.linear(x, *pool["kv"]).chunk(2, -1))
        x = F.linear(attention(query.expand(len(x), -1, -1, -1), k, v), *pool["proj"])
        hidden = F.gelu(F.linear(F.layer_norm(x, (d,), *pool_norm, 1e-6), *pool["mlp.fc1"]))
        return (x + F.linear(hidden, *pool["mlp.fc2"]))[:, 0]

    return run


def clip_resnet(w, dtype):
    def folded(conv, norm):
        scale = w[norm + "weight"] / torch.sqrt(w[norm + "running_var"] + 1e-5)
        weight = (w[conv + "weight"] * scale[:, None, None, None]).to(dtype, memory_format=torch.channels_last)
        return weight, (w[norm + "bias"] - w[norm + "running_mean"] * scale).to(dtype)

    stem = [folded("visual.conv%d." % i, "visual.bn%d." % i) for i in (1, 2, 3)]
    blocks = []
    for stage in (1, 2, 3, 4):
        index = 0
        while "visual.layer%d.%d.conv1.weight" % (stage, index) in w:
            name = "visual.layer%d.%d." % (stage, index)
            convs = [folded(name + "conv%d." % i, name + "bn%d." % i) for i in (1, 2, 3)]
            down = folded(name + "downsample.0.", name + "downsample.1.") if name + "downsample.0.weight" in w else None
            blocks.append((convs, down, 2 if stage > 1 and index == 0 else 1))
            index += 1
    part = {k[16:]: v.to(dtype) for k, v in w.items() if k.startswith("visual.attnpool.")}
    pool = {n: (part[n + "_proj.weight"], part[n + "_proj.bias"]) for n in "qkvc"}
    table = part["positional_embedding"]

    def run(images):
        x = images.to(memory_format=torch.channels_last)
        for i, conv in enumerate(stem):
            x = F.relu_(F.conv2d(x, *conv, stride=1 if i else 2, padding=1))
        x = F.avg_pool2d(x, 2)
        for (one, two, three), down, stride in blocks:
            y = F.relu_(F.conv2d(F.relu_(F.conv2d(x, *one)), *two, padding=1))
            if stride > 1:
                x, y = F.avg_pool2d(x, stride), F.avg_pool2d(y, stride)
            x = F.relu_(F.conv2d(y, *three) + (F.conv2d(x, *down) if down else x))
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + table
        q, k, v = F.linear(x[:, :1], *pool["q"]), F.linear(x, *pool["k"]), F.linear(x, *pool["v"])
        return F.linear(attention(heads(q), heads(k), heads(v)), *pool["c"])[:, 0]

    return run


def load(path, side, dtype=None, device="cpu"):
    """The network of a file of weights, for images (B,3,side,side)."""
    dtype = dtype or torch.float32
    try:
        w = torch.jit.load(path, map_location="cpu").state_dict()
    except RuntimeError:
        w = torch.load(path, map_location="cpu")
    w = {k: (v.float() if v.is_floating_point() else v).to(device) for k, v in w.items()}
    if "visual.class_embedding" in w:
        return clip_vit(w, dtype)
    if "rope_embed.periods" in w:
        return dinov3(w, dtype, side)
    if "attn_pool.latent" in w:
        return siglip(w, dtype)
    return dinov2(w, dtype) if "cls_token" in w else clip_resnet(w, dtype)


class Module(torch.nn.Module):
    """A network as what other runtimes convert from."""

    def __init__(self, run):
        super().__init__()
        self.run = run

    def forward(self, images):
        return self.run(images)


# The largest ||found - expected|| / ||expected|| of features before anything is timed.
LIMIT = {"fp32": 1e-4, "fp16": 0.02, "bf16": 0.1}


def arguments():
    """The command line, and images (B,3,side,side) as a tensor."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", required=True)
    parser.add_argument("--input", required=True, help="images (B,side,side,3), .npy")
    parser.add_argument("--expect", required=True, help="their features (B,d), .npy")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=0)
    parser.add_argument("--gpu", action="store_true", help="on cuda:0: as it stands, as a graph, by torch.compile")
    parser.add_argument("--precision", choices=sorted(LIMIT), default="fp32")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    images = torch.from_numpy(numpy.load(a.input))
    return a, (images if images.shape[1] == 3 else images.permute(0, 3, 1, 2)).contiguous()


def check(program, a, run):
    """The error of the features that run() returns. It is a ValueError where they do not agree."""
    expected = numpy.load(a.expect)
    found = run()
    error = float(numpy.linalg.norm(found - expected) / numpy.linalg.norm(expected))
    print("%s %s: largest difference %.3g, relative %.3g" % (program, a.precision, abs(found - expected).max(), error),
          file=sys.stderr)
    if not error <= LIMIT[a.precision]:
        raise ValueError("%s: %s: features differ by %.3g of their size" % (program, a.weights, error))
    return float("%.2g" % error)


def show(program, a, images, seconds, error):
    case = os.path.basename(a.weights).split(".")[0] + ("" if a.precision == "fp32" else " " + a.precision)
    rows.show(case, program, a.threads, len(images), "images/s", seconds, error=error)


def check_and_measure(program, a, run, images):
    """Compares the features that run() returns, then prints a row."""
    try:
        error = check(program, a, run)
    except ValueError as e:
        sys.exit(str(e))
    if a.repeats:
        show(program, a, images, rows.measure(run, a.repeats), error)


def on_gpu(a, images, dtype, device="cuda"):
    """Rows of each way on the GPU, timed by its events, one batch behind the other."""
    torch.set_default_device(device)
    torch.backends.cudnn.benchmark = True
    images = images.to(device, dtype).contiguous(memory_format=torch.channels_last)
    name = "PyTorch " + torch.__version__
    with torch.inference_mode():
        run = load(a.weights, images.shape[-1], dtype, device)
        ways = [("", lambda: run, rows.measure_queue)]
        if device != "cpu":
            ways.append((" graph", lambda: run, lambda *given: rows.measure_graph(torch, given[1], given[3], False)))
        ways.append((" compiled", lambda: torch.compile(Module(run), mode="max-autotune"), rows.measure_queue))
        for way, make, measure in ways:
            try:
                network = make()
                error = check(name + way, a, lambda: network(images).float().cpu().numpy())
                show(name + way, a, images, measure(torch, lambda: network(images), 2, a.repeats, device), error)
            except (RuntimeError, ValueError, OSError) as e:  # one way that does not work does not end the others
                print("encoders_torch.py:%s: left out: %s" % (way or " as it stands", str(e).split("\n")[0]), file=sys.stderr)


def main():
    a, images = arguments()
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[a.precision]
    if a.gpu:
        rows.need_cuda(torch)
        return on_gpu(a, images, dtype)
    with torch.inference_mode():
        run, typed = load(a.weights, images.shape[-1], dtype), images.to(dtype)
        check_and_measure("PyTorch " + torch.__version__, a, lambda: run(typed).float().numpy(), images)


if __name__ == "__main__":
    main()
