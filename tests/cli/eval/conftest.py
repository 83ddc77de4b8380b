"""`refute eval` runs on the tiny world of the engine's own tests."""

from humaneval_world import (  # noqa: F401 - fixtures
    _one_thread,
    bare_tokenizer,
    breaking_tokenizer,
    config,
    desk,
    fake,
    gguf_file,
    make_model,
    problem_file,
    problems,
    settings,
    sizes,
    student,
    tokenizer,
)
