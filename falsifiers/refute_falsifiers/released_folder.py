"""Is the folder that is released the model that was trained, with its init's tokenizer, and nothing besides?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from refute import Bench, Context, Evidence, Measurement, RefuteError, falsifier, known_bad, known_good, known_unusable

_FOLDER = "model/"
_CONFIG, _GENERATION = "config.json", "generation_config.json"
_INDEX = "model.safetensors.index.json"
# What libraries take for weights, or for something to put on top of them, whatever else lies there.
_WEIGHTS = re.compile(
    r".*\.(safetensors|bin|pt|pth|ckpt|h5|msgpack|gguf|onnx)(\.index\.json)?|.*\.index\.json|adapter_config\.json"
)
# What saving writes anew: under which name, by which version, in which precision.
_WRITTEN_BY_SAVING = frozenset(
    {"_name_or_path", "_from_model_config", "architectures", "dtype", "torch_dtype", "transformers_version"}
)
_CODE = "auto_map"
# How configurations call what safetensors stores; whoever opens a folder may go by either.
_PRECISIONS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# Bytes of a header: safetensors' own limit.
_MOST_HEADER = 100_000_000


def _stored(precision: str = "F32") -> bytes:
    """A safetensors file of one number."""
    tensors = {"__metadata__": {"format": "pt"}, "a": {"dtype": precision, "shape": [1], "data_offsets": [0, 4]}}
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


def _model_files(**changes: Any) -> dict[str, Any]:
    files: dict[str, Any] = {
        _CONFIG: {"num_hidden_layers": 2, "eos_token_id": 3, "dtype": "float32"},
        _GENERATION: {"eos_token_id": 3, "transformers_version": "5"},
        "model.safetensors": _stored(),
        "tokenizer.json": '{"model": {"vocab": {"a": 0, "b": 1}}}',
        "chat_template.jinja": "{{ messages }}",
    }
    return {name: content for name, content in {**files, **changes}.items() if content is not None}


# What is wrong with a folder, and how often: one weight set is right, and of the rest none.
_RIGHT = {"weight_sets": 1, "surplus_files": 0, "changed_files": 0, "changed_settings": 0}
_MOST = 10_000


def _lay_out(bench: Bench, student: Mapping[str, Any], init: Mapping[str, Any] | None = None, **wrong: int) -> None:
    """Two models whose files alone make what is `wrong`, and more of it, or of the rest, where the bars want more."""
    more = {name: _more(bench, name, own, failing=name in wrong) for name, own in (_RIGHT | wrong).items()}
    before = _model_files(**{"model.safetensors": b"before"}) if init is None else dict(init)
    after = dict(student)
    after |= {f"weights_{n}.bin": b"more" for n in range(more["weight_sets"])}
    after |= {f"notes/{n}.txt": "more" for n in range(more["surplus_files"])}
    before |= {f"tokens_{n}.txt": "before" for n in range(more["changed_files"])}
    after |= {f"tokens_{n}.txt": "after" for n in range(more["changed_files"])}
    for files, value in ((before, 0), (after, 1)):
        if isinstance(files.get(_CONFIG), Mapping):
            files[_CONFIG] = {**files[_CONFIG], **{f"spare_{n}": value for n in range(more["changed_settings"])}}
    for need, files in (("student", after), ("init", before)):
        for name, content in files.items():
            bench.put(need, f"{_FOLDER}{name}", content)


def _more(bench: Bench, measurement: str, own: int, *, failing: bool) -> int:
    """How many are to be added to `own`, for the bar of this measurement to be failed, or cleared."""
    bar = bench.bar(measurement)
    return int((bar.failing if failing else bar.holding)(own, low=own, high=_MOST, whole=True)) - own


def as_trained(bench: Bench) -> None:
    """Weights in one file; everything else is the init's."""
    _lay_out(bench, _model_files())


def in_shards(bench: Bench) -> None:
    """An index and the files that it names; the init states no way of generating, saving wrote one from its config."""
    shards = {"model-00001-of-00002.safetensors": _stored(), "model-00002-of-00002.safetensors": _stored()}
    index = {"weight_map": dict(zip(("a", "b"), shards, strict=True))}
    config = {"num_hidden_layers": 2, "eos_token_id": 3, "dtype": "float16", "dropped_on_saving": 1}
    init = _model_files(**{_GENERATION: None, _CONFIG: config})
    _lay_out(bench, _model_files(**{"model.safetensors": None, _INDEX: index}, **shards), init)


def no_word_of_precision(bench: Bench) -> None:
    """The configuration leaves it to the file."""
    _lay_out(bench, _model_files(**{_CONFIG: {"num_hidden_layers": 2, "eos_token_id": 3}}))


def two_formats(bench: Bench) -> None:
    """Another model beside the one that was audited, in the older format."""
    _lay_out(bench, _model_files(**{"pytorch_model.bin": b"another"}), weight_sets=2)


def a_file_and_an_index(bench: Bench) -> None:
    """Two sets in one format: which of them is opened depends on the library."""
    index = {"weight_map": {"a": "other.safetensors"}}
    _lay_out(bench, _model_files(**{_INDEX: index, "other.safetensors": _stored()}), weight_sets=2)


def an_adapter(bench: Bench) -> None:
    """Whoever opens the folder gets the weights with something put on top."""
    _lay_out(bench, _model_files(**{"adapter_config.json": {"peft_type": "LORA"}}), weight_sets=2)


def a_shard_too_many(bench: Bench) -> None:
    """Weights that the index does not name."""
    shards = {
        _INDEX: {"weight_map": {"a": "one.safetensors"}},
        "one.safetensors": _stored(),
        "two.safetensors": _stored(),
    }
    _lay_out(bench, _model_files(**{"model.safetensors": None}, **shards), weight_sets=2)


def a_shard_missing(bench: Bench) -> None:
    """An index of two files, one of which is there."""
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    _lay_out(
        bench, _model_files(**{"model.safetensors": None, _INDEX: index, "one.safetensors": _stored()}), weight_sets=2
    )


def a_shard_under_another_name(bench: Bench) -> None:
    """As many files as the index names, and one of them is another."""
    shards = {_INDEX: {"weight_map": {"a": "one.safetensors"}}, "two.safetensors": _stored()}
    _lay_out(bench, _model_files(**{"model.safetensors": None}, **shards), weight_sets=3)


def no_weights(bench: Bench) -> None:
    """A folder of settings alone."""
    _lay_out(bench, _model_files(**{"model.safetensors": None}), weight_sets=0)


def two_ids_swapped(bench: Bench) -> None:
    """Two tokens have each other's number: every text of theirs means another."""
    _lay_out(bench, _model_files(**{"tokenizer.json": '{"model": {"vocab": {"a": 1, "b": 0}}}'}), changed_files=1)


def another_template(bench: Bench) -> None:
    """Released with another prompt than it was judged with."""
    _lay_out(bench, _model_files(**{"chat_template.jinja": "Answer well. {{ messages }}"}), changed_files=1)


def tokenizer_left_behind(bench: Bench) -> None:
    """A file of the init is missing."""
    _lay_out(bench, _model_files(**{"tokenizer.json": None}), changed_files=1)


def a_surplus_file(bench: Bench) -> None:
    """Something that nobody declared, such as the benchmark's answers."""
    _lay_out(bench, _model_files(**{"notes/answers.jsonl": "{}"}), surplus_files=1)


def code_in_the_folder(bench: Bench) -> None:
    """A configuration that asks for code, which opening the folder would run."""
    _lay_out(
        bench,
        _model_files(**{_CONFIG: {"num_hidden_layers": 2, "eos_token_id": 3, _CODE: {"AutoModel": "m.M"}}}),
        changed_settings=1,
    )


def another_setting(bench: Bench) -> None:
    """The same weights, read with another setting."""
    _lay_out(bench, _model_files(**{_CONFIG: {"num_hidden_layers": 1, "eos_token_id": 3}}), changed_settings=1)


def another_precision_than_stored(bench: Bench) -> None:
    """Whoever opens the folder as it says computes with other numbers than were judged."""
    config = {"num_hidden_layers": 2, "eos_token_id": 3, "dtype": "float16"}
    _lay_out(bench, _model_files(**{_CONFIG: config}), changed_settings=1)


def weights_that_are_none(bench: Bench) -> None:
    """Nobody can say in which precision they are."""
    _lay_out(bench, _model_files(**{"model.safetensors": b"stub"}))


def another_way_to_generate(bench: Bench) -> None:
    """A setting of generation that the init has not: tokens that are never to be chosen."""
    _lay_out(bench, _model_files(**{_GENERATION: {"eos_token_id": 3, "suppress_tokens": [0]}}), changed_settings=1)


def config_is_no_object(bench: Bench) -> None:
    """A list where the settings should be."""
    _lay_out(bench, _model_files(**{_CONFIG: "[]"}))


def no_config(bench: Bench) -> None:
    """Nothing says what the weights are of."""
    _lay_out(bench, _model_files(**{_CONFIG: None}))


@falsifier(
    "released-folder",
    needs=("student", "init"),
    measures={
        "weight_sets": "sets",
        "surplus_files": "files",
        "changed_files": "files",
        "changed_settings": "settings",
    },
    controls=(
        known_good(as_trained),
        known_good(in_shards),
        known_good(no_word_of_precision),
        *(known_bad(build) for build in (two_formats, a_file_and_an_index, an_adapter, no_weights)),
        *(known_bad(build) for build in (a_shard_too_many, a_shard_missing, a_shard_under_another_name)),
        *(known_bad(build) for build in (two_ids_swapped, another_template, tokenizer_left_behind)),
        known_bad(a_surplus_file),
        *(known_bad(build) for build in (code_in_the_folder, another_setting, another_way_to_generate)),
        known_bad(another_precision_than_stored),
        known_unusable(config_is_no_object, raises=ValueError),
        known_unusable(weights_that_are_none, raises=ValueError),
        known_unusable(no_config, raises=RefuteError),
    ),
)
def released_folder(context: Context) -> Iterator[Measurement]:
    """Refuted when the student's folder holds not exactly one set of weights, a file that neither it nor its init
    needs, a small file that is not the init's to the byte, or a setting that the init does not have."""
    student, init = context.evidence("student"), context.evidence("init")
    found, kept = _files(student), _files(init)
    weights = {name for name in found if _WEIGHTS.fullmatch(name)}
    settings = [*_changed_settings(student, init), _in_another_precision(student, weights)]
    small = {name for name in kept if not _WEIGHTS.fullmatch(name)} - {_CONFIG, _GENERATION}
    surplus = found.keys() - weights - small - {_CONFIG, _GENERATION}
    yield Measurement("weight_sets", _weight_sets(student, weights), "sets", n=len(found))
    yield Measurement("surplus_files", len(surplus), "files", n=len(found))
    yield Measurement("changed_files", sum(found.get(name) != kept[name] for name in small), "files", n=len(small))
    yield Measurement("changed_settings", sum(settings), "settings", n=len(settings))


def _files(evidence: Evidence) -> dict[str, str]:
    """The files below the model's folder with their SHA-256; all of them count as read."""
    found: dict[str, str] = {}
    for name, sha256 in evidence.files.items():
        if name.startswith(_FOLDER):
            evidence.path(name)
            found[name.removeprefix(_FOLDER)] = sha256
    return found


def _weight_sets(student: Evidence, weights: set[str]) -> int:
    """How many sets of weights a library could open: a file alone, or an index with all that it names, is one."""
    if _INDEX not in weights:
        return len(weights)
    shards = set(_object(student, _INDEX)["weight_map"].values())
    return 1 + len(weights - shards - {_INDEX}) + len(shards - weights)


def _changed_settings(student: Evidence, init: Evidence) -> list[bool]:
    """Of every setting, whether it is another: saving may add some to the model's, and none to those of generating."""
    ours, theirs = _object(student, _CONFIG), _object(init, _CONFIG)
    generating, before = _object(student, _GENERATION), _object(init, _GENERATION)
    shared = (ours.keys() & theirs.keys()) - _WRITTEN_BY_SAVING
    return [
        *(ours[name] != theirs[name] for name in shared),
        *(_CODE in each for each in (ours, generating)),
        *(generating[name] != before.get(name, theirs.get(name)) for name in generating.keys() - _WRITTEN_BY_SAVING),
    ]


def _in_another_precision(student: Evidence, weights: set[str]) -> bool:
    """Whether the configuration names another precision than tensors are stored in; of several, it must be one."""
    config = _object(student, _CONFIG)
    said = config.get("dtype", config.get("torch_dtype"))
    files = [name for name in weights if name.endswith(".safetensors")]
    stored = {_PRECISIONS.get(each) for name in files for each in _precisions(student, f"{_FOLDER}{name}")}
    return said is not None and said not in stored


def _precisions(student: Evidence, file: str) -> set[str]:
    """Of the tensors in a safetensors file, from its header. Raises ValueError for a file that has none."""
    with student.path(file).open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = stream.read(min(size, _MOST_HEADER))
    tensors = json.loads(header) if header.startswith(b"{") else {}
    if not tensors:
        raise ValueError(f"{student.name}: {file} holds no tensors")
    return {each["dtype"] for name, each in tensors.items() if name != "__metadata__"}


def _object(evidence: Evidence, name: str) -> dict[str, Any]:
    file = f"{_FOLDER}{name}"
    if name == _GENERATION and file not in evidence.files:
        return {}  # a model may leave to its configuration how it is to generate
    content = evidence.json(file)
    if not isinstance(content, dict):
        raise ValueError(f"{evidence.name}: {file} holds no JSON object")
    return content
