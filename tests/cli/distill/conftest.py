"""`refute distill` runs on the tiny world of the engine's own tests."""

from distill_world import (  # noqa: F401 - fixtures
    _one_thread,
    corpus_evidence,
    distill_config,
    init_evidence,
    make_job,
    problems,
    shards_folder,
    sources,
    start,
    start_below,
    teacher_folder,
    tiny_tokenizer,
    write_config,
)
