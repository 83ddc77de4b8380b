"""What exporting a student and proving its exports writes. Divergences are in nat per token."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from refute.spec.experiments.evidence.base import EvidenceModel, Several
from refute.spec.experiments.evidence.publication import Compared
from refute.spec.fields import Sha256

Reader = Literal["folder", "llama.cpp", "tokenizer_config.json", "chat_template.jinja", "gguf"]


class ExportedFile(EvidenceModel):
    """One GGUF file. `tensors` by block format; `fallback` is the share of the weights that the label speaks of (no
    vectors, embedding or head) and that are stored in another format than it says."""

    file: str
    label: str
    architecture: str
    size: int
    sha256: Sha256
    parameters: int
    tensors: dict[str, int]
    fallback: float


class Exports(EvidenceModel):
    """The files that were made of the student, and those that were refused, each with the reason."""

    files: Several[ExportedFile]
    refused: dict[str, str]


class Divergence(EvidenceModel):
    """KL(folder || file) after each prefix that ends at a position; whether both find the same token likeliest."""

    positions: Several[int]
    kl: Several[float]
    same_first: Several[bool]


class Conversion(EvidenceModel):
    """The file of full precision in llama.cpp beside the folder in transformers, and what the same comparison says of
    `known_bad` conversions of this very student, by their faults; and of the other `formats`, by their labels."""

    file: str
    label: str
    llama_cpp: str
    divergence: Divergence
    known_bad: dict[str, Divergence]
    formats: dict[str, Divergence] = Field(default={})


class StoredTensor(EvidenceModel):
    """One tensor of a quantised file: its format and the one that its label wants, how many numbers, bits a number,
    how many are NaN or infinite, and the L2 norm of what it lacks of the full one, by that one's norm. `labelled`: the
    label speaks of it, which it does of matrices, and not of embedding and head."""

    name: str
    kind: str
    wanted: str
    numbers: int
    labelled: bool
    bits: float
    not_finite: int
    relative_l2: float


class Quantisation(EvidenceModel):
    """One file, tensor by tensor; `label_bits` is what a number takes in the format that its label names."""

    file: str
    label: str
    label_bits: float
    tensors: Several[StoredTensor]


class Quantisations(EvidenceModel):
    """Every file against the one of full precision, itself too, and what is said of files with a planted fault."""

    reference: str
    files: Several[Quantisation]
    known_bad: dict[str, Quantisation]


class Reading(EvidenceModel):
    """One text by the folder's tokenizer and by llama.cpp's, each as ids. `kind` is why the text was chosen."""

    kind: str
    text: str
    folder: Several[int]
    llama_cpp: Several[int]


class Readings(EvidenceModel):
    """All texts, in one file."""

    file: str
    texts: Several[Reading]


class Ends(EvidenceModel):
    """What ends a text: ids in each place that states them, and the id by which the chat template ends a turn.

    `stops`: after how many tokens each engine stopped that was made to say that id, null where it did not stop.
    """

    tokenizer: Several[int]
    generation_config: Several[int]
    config: Several[int]
    gguf: Several[int]
    turn_end: int | None
    stops: dict[str, int | None]


class Tokens(EvidenceModel):
    """Texts and ends by folder and file, and what is said of files with a planted fault.

    `beside_init`: texts by the folder's tokenizer and by that of the init, which the model has learned to read with.
    """

    readings: Several[Readings]
    beside_init: Compared
    known_bad: dict[str, Readings]
    ends: Ends
    known_bad_ends: Ends


class Rendering(EvidenceModel):
    """One conversation as each place renders it, null where it has no template; `begins` counts its tokens that begin a
    text, as llama.cpp reads it."""

    conversation: str
    texts: dict[str, str | None]
    begins: int


class Templates(EvidenceModel):
    """Every conversation, and what is said of files with a planted fault."""

    file: str
    renderings: Several[Rendering]
    known_bad: dict[str, Several[Rendering]] = Field(default={})


class UsedPath(EvidenceModel):
    """The student in one engine of its own, fresh process: `ids` it said greedily after `prompt`.

    `behind`: by how many logits the judged folder itself, in float64, finds another token likelier than each of them; a
    text that ends early has one more, of its end. `reached` names hosts that it could reach, and must be empty;
    `failed` is why there are no ids.
    """

    path: str
    file: str
    prompt: Several[int]
    ids: Several[int]
    behind: Several[float]
    text: str
    reached: Several[str]
    failed: str | None
    versions: dict[str, str]


class UsedSnippet(EvidenceModel):
    """A block of code of the card, tried by `reader`; `said` is what it printed, or the file that it names.

    `failed` is why it printed nothing, or named none.
    """

    text: str
    reader: str
    said: str
    failed: str | None


class Usage(EvidenceModel):
    """Every path, every block of the card, and commands that were printed and not run."""

    paths: Several[UsedPath]
    snippets: Several[UsedSnippet]
    not_run: dict[str, str]
