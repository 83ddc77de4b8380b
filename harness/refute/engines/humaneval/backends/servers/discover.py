"""Finds out what a server is: llama.cpp's is asked by its own API, any other by OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping

from refute.engines.humaneval.backends.requests import CompletionApi
from refute.engines.humaneval.backends.servers.llama_server import LlamaServer
from refute.engines.humaneval.backends.servers.openai import VLLM_NEUTRAL, OpenAiServer
from refute.engines.humaneval.problems.prompts import Protocol
from refute.engines.humaneval.samples.call_log import Note, note_nothing
from refute.engines.humaneval.samples.sampler import Sampler
from refute.engines.model.server.client import Client, Server
from refute.errors import UsageError
from refute.spec.fields import http_address


def reach(
    client: Client,
    server: Server,
    protocol: Protocol,
    sampler: Sampler,
    max_new_tokens: int,
    on_call: Note = note_nothing,
) -> CompletionApi:
    """The server at `base_url`, ready to be asked.

    llama.cpp's server lets a prompt be given token by token and reports its sampler, so that `chat_primed` is exactly
    the protocol of a model that is loaded here. Any other is asked for a whole answer, which is another protocol,
    `chat_answer`; vLLM also with its own samplers switched off.
    Raises UsageError for an address that is not HTTP or carries a secret, ExperimentError where nothing answers.
    """
    try:
        http_address(server.base_url)
    except ValueError as error:
        raise UsageError(
            f"the server's address: {error}", hint="look at --base-url, or base_url in the release"
        ) from error
    root = server.base_url.rstrip("/").removesuffix("/v1")
    props = client.look_up(f"{root}/props")
    if isinstance(props, dict) and isinstance(props.get("default_generation_settings"), dict):
        return LlamaServer(client, root, props, protocol, sampler, max_new_tokens, on_call)
    return OpenAiServer(client, server, protocol, sampler, max_new_tokens, on_call, neutral=_neutral(client, server))


def _neutral(client: Client, server: Server) -> Mapping[str, object]:
    """What a server must be sent so that its own defaults change no sample, where it is one that takes it."""
    models = client.look_up(f"{server.base_url.rstrip('/')}/models")
    listed = models.get("data") if isinstance(models, dict) else None
    makers = {each.get("owned_by") for each in listed if isinstance(each, dict)} if isinstance(listed, list) else set()
    return VLLM_NEUTRAL if "vllm" in makers else {}
