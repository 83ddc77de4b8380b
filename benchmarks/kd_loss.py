"""The KD loss from hidden states of student and teacher, beside the matrix products that it cannot do without.

python benchmarks/kd_loss.py [--tokens 1024] [--vocabulary 151936] [--hidden 896] [--device cuda --dtype bfloat16]
"""

from __future__ import annotations

import argparse
import importlib.util

import torch
from measure import compare, machine, table
from torch import Tensor
from torch.nn import functional

from refute.distill import kd_loss

CE, KD, HEAT = 0.3, 0.7, 2.0


def products(hidden: Tensor, weight: Tensor, teacher: Tensor, head: Tensor) -> tuple[Tensor, ...]:
    """Both models' logits and, from a slope of their size, the gradients of student states and head."""
    slope = hidden.detach() @ weight.detach().T
    return teacher @ head.T, slope @ weight.detach(), slope.T @ hidden.detach()


def dense(hidden: Tensor, weight: Tensor, teacher: Tensor, head: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """The same loss by torch's own functions, all logits at once."""
    logits, heat = (hidden @ weight.T).float(), HEAT
    with torch.no_grad():
        shares = functional.log_softmax((teacher @ head.T).float() / heat, dim=-1)
    ce = functional.cross_entropy(logits, labels)
    kl = functional.kl_div(functional.log_softmax(logits / heat, dim=-1), shares, log_target=True, reduction="sum")
    total = CE * ce + KD * heat**2 * kl / len(labels)
    return torch.autograd.grad(total, (hidden, weight))


def chunked(hidden: Tensor, weight: Tensor, teacher: Tensor, head: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """refute's."""
    loss = kd_loss(
        hidden,
        weight,
        None,
        labels,
        ce_weight=CE,
        kd_weight=KD,
        temperature=HEAT,
        teacher_hidden=teacher,
        teacher_head_weight=head,
    )
    return torch.autograd.grad(loss.total, (hidden, weight))


def trl_fused(hidden: Tensor, weight: Tensor, teacher: Tensor, head: Tensor) -> tuple[Tensor, ...]:
    """TRL's fused forward KL, which has no CE term."""
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

    rows, _ = ChunkedDivergenceFunction.apply(hidden, weight, None, teacher, head, None, 0.0, HEAT)
    return torch.autograd.grad(rows.sum() / len(rows), (hidden, weight))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--hidden", type=int, default=896)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-peers", action="store_true", help="neither dense nor TRL")
    parser.add_argument("--only", help="run this piece alone and print its memory")
    chosen = parser.parse_args()
    torch.manual_seed(0)
    place = {"device": chosen.device, "dtype": getattr(torch, chosen.dtype)}
    hidden = torch.randn(chosen.tokens, chosen.hidden, **place).requires_grad_()
    weight = (torch.randn(chosen.vocabulary, chosen.hidden, **place) * 0.05).requires_grad_()
    teacher = torch.randn(chosen.tokens, chosen.hidden, **place)
    head = torch.randn(chosen.vocabulary, chosen.hidden, **place) * 0.05
    labels = torch.randint(0, chosen.vocabulary, (chosen.tokens,), device=chosen.device)
    pieces = {
        "four matrix products": lambda: products(hidden, weight, teacher, head),
        "refute, chunked": lambda: chunked(hidden, weight, teacher, head, labels),
    }
    if not chosen.without_peers and importlib.util.find_spec("trl") is not None:
        pieces["TRL, fused divergence (KL alone)"] = lambda: trl_fused(hidden, weight, teacher, head)
    if not chosen.without_peers:
        pieces["dense"] = lambda: dense(hidden, weight, teacher, head, labels)
    figures = compare(pieces, rounds=chosen.rounds, device=chosen.device, only=chosen.only)
    title = f"KD loss, {chosen.tokens} tokens, V = {chosen.vocabulary}, H = {chosen.hidden}, {chosen.dtype}"
    print(table(title, figures, "four matrix products"))
    print(machine(chosen.device))


if __name__ == "__main__":
    main()
