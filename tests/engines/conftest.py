"""What tests of every engine share: tiny runs of distillation, and models of every format."""

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
    straight,
    teacher_folder,
    tiny_tokenizer,
    wide_init_evidence,
    write_config,
)
from model_workshop import workshop  # noqa: F401 - a fixture
from staged_card import stage_world  # noqa: F401 - a fixture
