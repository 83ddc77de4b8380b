"""`refute distill …`: arguments of the distillation engine's commands."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from refute.cli.arguments import refuse_idle
from refute.cli.console import print_document, print_json


class Device(StrEnum):
    """Where the loss computes."""

    CPU = "cpu"
    CUDA = "cuda"


class Divergence(StrEnum):
    """Those that a run may be trained on."""

    FORWARD_KL = "forward_kl"
    REVERSE_KL = "reverse_kl"
    JENSEN_SHANNON = "jensen_shannon"


class Dtype(StrEnum):
    """What the student computes in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class SpecialTokens(StrEnum):
    """What a text that spells special tokens becomes."""

    PARSE = "parse"
    REFUSE = "refuse"
    LITERAL = "literal"


class _RunByDefault(TyperGroup):
    """`refute distill CONFIG` is `refute distill run CONFIG`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put `run` before a first word that is no command."""
        known = args[0] in self.commands if args else True
        return super().resolve_command(ctx, args if known else ["run", *args])


app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Distil a teacher into a student. `refute distill CONFIG` is `refute distill run CONFIG`.",
)

Config = Annotated[Path, typer.Argument(help="YAML with training, teacher, init and corpus.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def run(
    config: Config,
    out: Annotated[Path, typer.Option(help="Where the run is kept; an interrupted one continues there.")],
    max_steps: Annotated[
        int | None, typer.Option(help="Smoke run: exactly so many steps, the projected time, no model.", min=1)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run long without a smoke run; this is recorded.")] = False,
    as_json: Json = False,
) -> None:
    """Train the student. The same under `torchrun --nproc-per-node N -m refute distill …`."""
    from refute.cli.distill.run import run_distill, show_summary
    from refute.engines.distill.training.ranks import leave_process_group

    written = run_distill(config, out, max_steps=max_steps, force=force)
    if written is not None and as_json:
        print_document(written.read_text(encoding="utf-8"))
    elif written is not None:
        typer.echo(show_summary(written))
    leave_process_group()


@app.command()
def plan(
    config: Config,
    tflops: Annotated[
        float | None,
        typer.Option(help="1e12 operations a second that a device keeps up: gives the hours.", min=1e-6),
    ] = None,
    price: Annotated[float | None, typer.Option(help="Of one device and hour: gives the cost.", min=0)] = None,
    as_json: Json = False,
) -> None:
    """Say what a run will take in memory, on disk and in time; reads headers, and loads nothing."""
    from refute.cli.distill.run import run_plan, show_plan

    found = run_plan(config, tflops=tflops, price=price)
    if as_json:
        print_json(found)
    else:
        typer.echo(show_plan(found))


@app.command()
def init(
    teacher: Annotated[Path, typer.Argument(help="A model folder, or a GGUF file.")],
    corpus: Annotated[Path, typer.Option(help="Shards of the teacher's tokenizer, made by `refute distill tokenize`.")],
    layers: Annotated[int, typer.Option(help="How many of the teacher's layers the student keeps.", min=1)],
    out: Annotated[Path, typer.Option(help="Folder for model/ and choice.json.")],
    seq_len: Annotated[int, typer.Option(help="Ids of the windows that choices are measured on.", min=2)] = 256,
    windows: Annotated[int, typer.Option(help="How many of them, the last held-out ones.", min=1)] = 8,
    device: Annotated[Device, typer.Option(help="Where the choices are measured.")] = Device.CPU,
    threads: Annotated[int, typer.Option(help="On a CPU.", min=1)] = 2,
    as_json: Json = False,
) -> None:
    """Cut a student out of its teacher: the layers that lose least, measured."""
    from refute.cli.distill.init import Cut, run_init, show_choice

    choice = run_init(Cut(teacher, corpus, out, layers, seq_len, windows, device.value, threads))
    if as_json:
        print_json(choice)
    else:
        typer.echo(show_choice(choice, out))


@app.command()
def tokenize(
    sources: Annotated[
        list[Path], typer.Argument(help="Text, JSON, Parquet, packed or not, folders or saved datasets.")
    ],
    tokenizer: Annotated[Path, typer.Option(help="The student's model folder, or a GGUF file.")],
    out: Annotated[Path, typer.Option(help="Folder for the shards.")],
    pattern: Annotated[str, typer.Option(help="Which files of a folder.")] = "**/*",
    field: Annotated[str, typer.Option(help="Key or column that holds the text; dots go inside.")] = "text",
    heldout_share: Annotated[float, typer.Option(help="Share of documents that is held out.")] = 0.01,
    problems: Annotated[
        Path | None, typer.Option(help="Benchmark JSONL: documents that share a 10-gram with it are left out.")
    ] = None,
    special_tokens: Annotated[
        SpecialTokens, typer.Option(help="Texts that spell special tokens: the tokens, a refusal, or their letters.")
    ] = SpecialTokens.REFUSE,
    chat: Annotated[
        bool, typer.Option("--chat", help="Rows are conversations; the assistant's turns are learnt.")
    ] = False,
    seq_len: Annotated[
        int | None, typer.Option(help="With --chat: ids of the run's windows, which hold conversations whole.", min=2)
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which documents are held out.")] = 17,
    as_json: Json = False,
) -> None:
    """Turn documents into token shards, train and held-out, with a manifest."""
    from refute.cli.arguments import reading_what_was_named
    from refute.cli.console import progress
    from refute.disk import working_in
    from refute.engines.distill.data.tokenize import Tokenize, tokenize

    wanted = Tokenize(
        sources,
        tokenizer,
        out,
        pattern,
        field,
        heldout_share,
        seed,
        problems,
        special_tokens=special_tokens.value,
        chat=chat,
        seq_len=seq_len,
    )
    with reading_what_was_named(), working_in(out), progress() as report:
        manifest = tokenize(wanted, report, partial(typer.echo, err=True))
    if as_json:
        print_json(asdict(manifest))
        return
    for split in manifest.shards:
        typer.echo(f"{split}: {manifest.tokens(split)} tokens in {len(manifest.shards[split])} shards")
    typer.echo(f"documents: {manifest.facts['documents']}")


@app.command()
def prepare(
    context: typer.Context,
    config: Config,
    out: Annotated[Path, typer.Option(help="Folder for the cache; name it as `teacher_cache` in the configuration.")],
    k: Annotated[int, typer.Option("-k", "--k", help="Entries that are kept at each position.", min=1)] = 64,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="Ask a server of llama.cpp or vLLM in the teacher's place, such as http://localhost:8000/v1."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="The teacher's name at that server.")] = "",
    concurrency: Annotated[int, typer.Option(help="Requests at a time.", min=1)] = 8,
    attempts: Annotated[int, typer.Option(help="Tries of one request before it is an error.", min=1)] = 16,
    key_variable: Annotated[
        str | None, typer.Option(help="Environment variable with the server's API key, where it wants one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep the teacher's k most likely tokens at every position of the corpus on disk."""
    from refute.cli.distill.run import run_prepare
    from refute.cli.eval.options import ServerOptions

    if base_url is None:
        refuse_idle(context, ("model", "concurrency", "attempts", "key_variable"), "--base-url")
    server = None if base_url is None else ServerOptions(base_url, concurrency, attempts, key_variable).server(model)
    made = run_prepare(config, out, k, server)
    if as_json:
        print_json(made)
        return
    typer.echo(
        f"{made['windows']} windows, k = {made['k']}; the tail holds {made['tail_mass_mean']:.4f} of the probability"
    )
    typer.echo(f"read back, cosine to the teacher is at least {made['read_back_cosine']:.6f}")


@app.command()
def certify(
    device: Annotated[Device, typer.Option(help="Where the loss computes.")] = Device.CPU,
    dtype: Annotated[Dtype, typer.Option(help="What the student computes in.")] = Dtype.FLOAT32,
    divergence: Annotated[
        Divergence, typer.Option(help="How far the student is from its teacher.")
    ] = Divergence.FORWARD_KL,
    beta: Annotated[
        float | None, typer.Option(help="Of jensen_shannon: the teacher's weight, above 0, below 1.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure the KD loss against a float64 reference and the laws that it must obey. The bars are in the spec."""
    from refute.engines.distill.certificate.cases import Claim
    from refute.engines.distill.certificate.certify import certify as measure
    from refute.engines.distill.loss.kd_loss import kd_loss
    from refute.spec.experiments.evidence.distill import LossFigures

    certificate = measure(Claim(kd_loss, divergence.value, beta), device=device.value, dtype=dtype.value)
    if as_json:
        print_json(certificate.as_json())
        return
    for name in LossFigures.model_fields:
        typer.echo(f"{name:36} {getattr(certificate, name):.6g}")
