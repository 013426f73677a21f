"""The three networks that take nearly all the time, as plain PyTorch modules with a checkpoint's weights.

Written straightforwardly, as one would for PyTorch, with its own fused attention: what the engine is compared with.
They compute what the graphs compute (`torch_compared` looks at that). Needs torch, which nothing else of this
repository does. Knows nothing about measuring.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.indextts.sizes import EstimatorSizes, GptSizes, Sizes, VocoderSizes
from models.checkpoint import Tensors

_ROTARY_BASE = 10_000.0


def _parameter(values: object) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values))


class Linear(nn.Linear):
    """A linear map with a checkpoint's weights [out, in], or [in, out] if `turned`."""

    def __init__(self, tensors: Tensors, name: str, *, turned: bool = False, normed: bool = False) -> None:
        taken = tensors.take_weight_norm(name) if normed else tensors.take(f"{name}.weight")
        weight = torch.tensor(taken)
        weight = (weight.T if turned else weight.reshape(len(weight), -1)).contiguous()
        super().__init__(*weight.shape[::-1], bias=f"{name}.bias" in tensors, device="meta")
        self.weight = nn.Parameter(weight)
        if f"{name}.bias" in tensors:
            self.bias = _parameter(tensors.take(f"{name}.bias"))


class Norm(nn.LayerNorm):
    def __init__(self, tensors: Tensors, name: str) -> None:
        weight = tensors.take(f"{name}.weight")
        super().__init__(len(weight))
        self.weight, self.bias = _parameter(weight), _parameter(tensors.take(f"{name}.bias"))


class Gpt(nn.Module):
    """GPT-2 without tables. Keys and values [layers, 2, rows, heads, positions, width] are written in place."""

    def __init__(self, tensors: Tensors, sizes: GptSizes) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(tensors.scope(f"gpt.h.{n}."), sizes) for n in range(sizes.layers))
        self.norms = nn.Sequential(Norm(tensors, "gpt.ln_f"), Norm(tensors, "final_norm"))
        self.head = Linear(tensors, "mel_head")

    def forward(self, x: Tensor, start: int, cache: Tensor) -> tuple[Tensor, Tensor]:
        """x [rows, steps, width] at positions from `start` on -> states, and scores of the last step."""
        for block, kept in zip(self.blocks, cache, strict=True):
            x = block(x, start, kept)
        x = self.norms(x)
        return x, self.head(x[:, -1])


class Block(nn.Module):
    def __init__(self, tensors: Tensors, sizes: GptSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.before, self.behind = Norm(tensors, "ln_1"), Norm(tensors, "ln_2")
        self.packed, self.joined = (Linear(tensors, f"attn.{one}", turned=True) for one in ("c_attn", "c_proj"))
        self.wide, self.narrow = (Linear(tensors, f"mlp.{one}", turned=True) for one in ("c_fc", "c_proj"))

    def forward(self, x: Tensor, start: int, kept: Tensor) -> Tensor:
        rows, steps, width = x.shape
        packed = self.packed(self.before(x)).view(rows, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        kept[:, :, :, start : start + steps] = packed[1:]
        keys, values = kept[:, :, :, : start + steps]
        mask = torch.ones(steps, start + steps, dtype=torch.bool).tril(start) if steps > 1 and start else None
        mixed = functional.scaled_dot_product_attention(
            packed[0].to(keys.dtype), keys, values, mask, is_causal=steps > 1 and not start
        )
        x = x + self.joined(mixed.transpose(1, 2).reshape(rows, steps, width))
        return x + self.narrow(functional.gelu(self.wide(self.behind(x)), approximate="tanh"))


class Estimator(nn.Module):
    """The flow's estimator: transformer, then WaveNet. Time-major within."""

    def __init__(self, tensors: Tensors, sizes: EstimatorSizes) -> None:
        super().__init__()
        self.half, layers = sizes.layers // 2, range(sizes.layers)
        self.time, self.wave_time = Time(tensors, "t_embedder"), Time(tensors, "t_embedder2")
        self.content = Linear(tensors, "cond_projection")
        self.merged = Linear(tensors, "cond_x_merge_linear")
        self.layers = nn.ModuleList(Layer(tensors.scope(f"transformer.layers.{n}."), sizes) for n in layers)
        self.skips = nn.ModuleList(
            Linear(tensors, f"transformer.layers.{n}.skip_in_linear") for n in layers if n > self.half
        )
        self.norm = TimedNorm(tensors, "transformer.norm")
        self.skip, self.into = Linear(tensors, "skip_linear"), Linear(tensors, "conv1")
        self.beside, self.out = Linear(tensors, "res_projection"), Linear(tensors, "conv2")
        self.wavenet = WaveNet(tensors.scope("wavenet."), sizes)
        self.modulation = Linear(tensors, "final_layer.adaLN_modulation.1")
        self.last = Linear(tensors, "final_layer.linear", normed=True)

    def forward(self, x: Tensor, prompt: Tensor, t: Tensor, style: Tensor, mu: Tensor, known: Tensor) -> Tensor:
        x, prompt = x.transpose(1, 2), prompt.transpose(1, 2)
        time, frames = self.time(t), x.shape[1]
        styled = style[:, None].expand(-1, frames, -1)
        hidden = self.merged(torch.cat([x, prompt, self.content(mu), styled], 2))
        turns = _turns(frames, self.layers[0].head_width)
        kept: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            if number > self.half:
                hidden = self.skips[number - self.half - 1](torch.cat([hidden, kept.pop()], 2))
            hidden = layer(hidden, time, turns)
            if number < self.half:
                kept.append(hidden)
        hidden = self.skip(torch.cat([self.norm(hidden, time), x], 2))
        out = self.wavenet(self.into(hidden), self.wave_time(t)) + self.beside(hidden)
        shift, scale = self.modulation(functional.silu(time)).chunk(2, dim=1)
        out = functional.layer_norm(out, out.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]
        return self.out(self.last(out)).transpose(1, 2)[:, :, int(known) :]


class Time(nn.Module):
    def __init__(self, tensors: Tensors, name: str) -> None:
        super().__init__()
        self.frequencies = _parameter(tensors.take(f"{name}.freqs"))
        self.inner, self.outer = Linear(tensors, f"{name}.mlp.0"), Linear(tensors, f"{name}.mlp.2")

    def forward(self, t: Tensor) -> Tensor:
        angles = 1000 * t[:, None] * self.frequencies[None]
        return self.outer(functional.silu(self.inner(torch.cat([angles.cos(), angles.sin()], 1))))


class TimedNorm(nn.Module):
    """An RMS norm whose scale and shift the time decides."""

    def __init__(self, tensors: Tensors, name: str) -> None:
        super().__init__()
        self.project, self.weight = (
            Linear(tensors, f"{name}.project_layer"),
            _parameter(tensors.take(f"{name}.norm.weight")),
        )

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.project(time)[:, None].chunk(2, dim=2)
        return functional.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), 1e-5) * scale + shift


class Layer(nn.Module):
    def __init__(self, tensors: Tensors, sizes: EstimatorSizes) -> None:
        super().__init__()
        self.heads, self.head_width = sizes.heads, sizes.head_width
        self.packed, self.joined = Linear(tensors, "attention.wqkv"), Linear(tensors, "attention.wo")
        self.gate, self.value, self.narrow = (Linear(tensors, f"feed_forward.{one}") for one in ("w1", "w3", "w2"))
        self.before, self.behind = TimedNorm(tensors, "attention_norm"), TimedNorm(tensors, "ffn_norm")

    def forward(self, x: Tensor, time: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        rows, frames, width = x.shape
        packed = self.packed(self.before(x, time)).view(rows, frames, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key = (_turned(one, turns) for one in packed[:2])
        value = packed[2]
        mixed = functional.scaled_dot_product_attention(query.to(value.dtype), key.to(value.dtype), value)
        x = x + self.joined(mixed.transpose(1, 2).reshape(rows, frames, width))
        normed = self.behind(x, time)
        return x + self.narrow(functional.silu(self.gate(normed)) * self.value(normed))


def _turns(frames: int, head_width: int) -> tuple[Tensor, Tensor]:
    half = head_width // 2
    angles = torch.arange(frames)[:, None] * _ROTARY_BASE ** (-torch.arange(half) / half)
    return angles.cos(), angles.sin()


def _turned(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions over pairs of neighbours: [rows, heads, frames, width]."""
    cos, sin = turns
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-2)


class WaveNet(nn.Module):
    def __init__(self, tensors: Tensors, sizes: EstimatorSizes) -> None:
        super().__init__()
        layers, self.width = range(sizes.wavenet_layers), sizes.wavenet_width
        self.condition = Linear(tensors, "cond_layer.conv.conv", normed=True)
        self.inside = nn.ModuleList(
            Conv(tensors, f"in_layers.{n}.conv.conv", sizes.wavenet_dilation_rate**n, mode="reflect") for n in layers
        )
        self.outside = nn.ModuleList(Conv(tensors, f"res_skip_layers.{n}.conv.conv") for n in layers)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        x, total = x.transpose(1, 2), torch.zeros(())
        conditions = self.condition(time)[:, :, None].chunk(len(self.inside), dim=1)
        for inside, outside, condition in zip(self.inside, self.outside, conditions, strict=True):
            wave, gate = (inside(x) + condition).chunk(2, dim=1)
            more = outside(wave.tanh() * gate.sigmoid())
            if more.shape[1] > self.width:
                x, more = x + more[:, : self.width], more[:, self.width :]
            total = total + more
        return total.transpose(1, 2)


class Conv(nn.Module):
    """A convolution that keeps the length, its weight norm folded."""

    def __init__(
        self, tensors: Tensors, name: str, dilation: int = 1, mode: str = "constant", bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = _parameter(tensors.take_weight_norm(name))
        self.bias = _parameter(tensors.take(f"{name}.bias")) if bias else None
        reach = (self.weight.shape[-1] - 1) * dilation
        self.pads, self.dilation, self.mode = (reach - reach // 2, reach // 2), dilation, mode

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "constant":
            return functional.conv1d(x, self.weight, self.bias, padding=self.pads[1], dilation=self.dilation)
        padded = functional.pad(x, self.pads, mode=self.mode)
        return functional.conv1d(padded, self.weight, self.bias, dilation=self.dilation)


class Vocoder(nn.Module):
    """BigVGAN, with its activation as it is written in the paper: up, snake, down."""

    def __init__(self, tensors: Tensors, sizes: VocoderSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.first, self.last = Conv(tensors, "conv_pre"), Conv(tensors, "conv_post", bias=sizes.bias)
        stages, count = range(len(sizes.rates)), len(sizes.block_kernels)
        self.ups = nn.ModuleList(Up(tensors, f"ups.{n}.0", sizes.rates[n]) for n in stages)
        self.blocks = nn.ModuleList(
            Residual(tensors.scope(f"resblocks.{n * count + one}."), sizes.block_dilations[one], sizes.log_scale)
            for n in stages
            for one in range(count)
        )
        self.activation = Activation(tensors.scope("activation_post."), sizes.log_scale)

    def forward(self, mel: Tensor) -> Tensor:
        x, count = self.first(mel), len(self.sizes.block_kernels)
        for number, up in enumerate(self.ups):
            x = up(x)
            blocks = self.blocks[number * count : (number + 1) * count]
            x = sum(block(x) for block in blocks) / count
        x = self.last(self.activation(x))
        return (x.tanh() if self.sizes.tanh else x.clamp(-1, 1))[:, 0]


class Up(nn.Module):
    def __init__(self, tensors: Tensors, name: str, rate: int) -> None:
        super().__init__()
        self.weight, self.bias = _parameter(tensors.take_weight_norm(name)), _parameter(tensors.take(f"{name}.bias"))
        self.rate, self.pad = rate, (self.weight.shape[-1] - rate) // 2

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv_transpose1d(x, self.weight, self.bias, stride=self.rate, padding=self.pad)


class Residual(nn.Module):
    def __init__(self, tensors: Tensors, dilations: tuple[int, ...], log_scale: bool) -> None:
        super().__init__()
        pairs: list[nn.Module] = []
        for step, dilation in enumerate(dilations):
            first, second = (Activation(tensors.scope(f"activations.{2 * step + n}."), log_scale) for n in (0, 1))
            convs = Conv(tensors, f"convs1.{step}", dilation), Conv(tensors, f"convs2.{step}")
            pairs.append(nn.Sequential(first, convs[0], second, convs[1]))
        self.pairs = nn.ModuleList(pairs)

    def forward(self, x: Tensor) -> Tensor:
        for pair in self.pairs:
            x = x + pair(x)
        return x


class Activation(nn.Module):
    """Snakebeta at twice the rate."""

    def __init__(self, tensors: Tensors, log_scale: bool) -> None:
        super().__init__()
        alpha, beta = (torch.tensor(tensors.take(f"act.{one}"))[:, None] for one in ("alpha", "beta"))
        if log_scale:
            alpha, beta = alpha.exp(), beta.exp()
        self.alpha, self.beta = nn.Parameter(alpha), nn.Parameter(beta + 1e-9)
        self.up, self.down = (_parameter(tensors.take(one)) for one in ("upsample.filter", "downsample.lowpass.filter"))

    def forward(self, x: Tensor) -> Tensor:
        channels, taps = x.shape[1], self.up.shape[-1]
        edge = taps // 2 - 1
        held = functional.pad(x, (edge, edge), mode="replicate")
        fine = 2 * functional.conv_transpose1d(held, self.up.expand(channels, -1, -1), stride=2, groups=channels)
        cut = edge * 2 + (taps - 2) // 2
        fine = fine[..., cut : fine.shape[-1] - (edge * 2 + (taps - 1) // 2)]
        fine = fine + (self.alpha * fine).sin().square() / self.beta
        taps = self.down.shape[-1]
        held = functional.pad(fine, (taps // 2 - 1, taps // 2), mode="replicate")
        return functional.conv1d(held, self.down.expand(channels, -1, -1), stride=2, groups=channels)


def gpt(tensors: Tensors, sizes: Sizes) -> Gpt:
    return Gpt(tensors, sizes.gpt).eval()


def estimator(tensors: Tensors, sizes: Sizes) -> Estimator:
    return Estimator(tensors, sizes.estimator).eval()


def vocoder(tensors: Tensors, sizes: Sizes) -> Vocoder:
    return Vocoder(tensors, sizes.vocoder).eval()
