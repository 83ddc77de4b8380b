"""What tests of the HumanEval engine share: tiny models, problems of our own, small programs to judge."""

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
from small_programs import all_problems, contained, judge, own, strongest  # noqa: F401 - fixtures
