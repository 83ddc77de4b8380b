"""What tests of every command share: a place with inputs for each of them."""

from distill_world import (  # noqa: F401  # fixtures
    distill_config,
    init_evidence,
    shards_folder,
    teacher_folder,
    tiny_tokenizer,
)
from every_command import place  # noqa: F401  # a fixture
