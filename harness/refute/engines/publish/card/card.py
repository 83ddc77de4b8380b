"""A model card: metadata as a hub reads it, and text in which no number stands that is not a claim."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

from refute.engines.publish.card.licences import LICENCES
from refute.spec.experiments.evidence.publication import CardClaim
from refute.spec.publication import Publication

# Values of the metadata are JSON, which is YAML: no text of a person's can end its line, or the metadata.
_CARD: Final = """\
---
{% for key, value in metadata.items() -%}
{{ key }}: {{ value | json }}
{% endfor -%}
---

# {{ publication.name }}

{{ publication.card.summary }}

Distilled from [{{ publication.teacher.repo }}](https://huggingface.co/{{ publication.teacher.repo }}) and judged by
refute as release `{{ release }}`. The verdict on these very files is `verdict.sigstore.json`, where one lies beside
them; whoever trusts the key that signed it checks both with `refute verify verdict.sigstore.json --key KEY --model .`.

## What was measured

| what | value | evidence |
|---|---|---|
{% for claim in claims -%}
| {{ claim.label }} | {{ claim.text }} | `{{ claim.evidence }}/{{ claim.file }}`: {{ claim.key }} |
{% endfor %}
Held-out text and problems are those of the release; a number from another set of problems, prompt or sampler is no
match for these.

## How to use it

Before this was published, the Python was run as it stands here, by two generations of transformers and without a
network; each file that a command names was run in llama.cpp.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{{ repo }}")
model = AutoModelForCausalLM.from_pretrained("{{ repo }}")
{% if chats -%}
asked = [{"role": "user", "content": "Hello"}]
prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True, return_tensors="pt")
{% else -%}
prompt = tokenizer("Hello", return_tensors="pt")
{% endif -%}
print(tokenizer.decode(model.generate(**prompt, max_new_tokens=64)[0]))
```
{% for export in publication.exports %}
```sh
llama-cli -hf {{ repo }}:{{ export }}
```
{% endfor %}
## Licence

{{ licence }}, as LICENSE has it. The teacher's is {{ publication.teacher.licence }}
{%- if publication.init %}, the init's ({{ publication.init.repo }}) {{ publication.init.licence }}{% endif %}.
"""


def render(publication: Publication, release: str, claims: Sequence[CardClaim], *, chats: bool) -> str:
    """README.md of a release; `chats`: its tokenizer has a template for conversations.

    Raises UndefinedError where the template names what there is not.
    """
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)  # noqa: S701  # Markdown
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(_CARD).render(
        publication=publication,
        release=release,
        claims=claims,
        chats=chats,
        metadata=metadata(publication, claims),
        licence=LICENCES[publication.licence] or publication.licence,
        repo=publication.repo,
    )


def metadata(publication: Publication, claims: Sequence[CardClaim]) -> Mapping[str, Any]:
    """What a hub goes by. The score is named once, in `model-index`, to the digits that the text shows."""
    score = next(claim for claim in claims if claim.id == "score")
    metric = {"type": "pass@1", "name": "pass@1", "value": float(score.text.replace(",", ""))}
    result = {
        "task": {"type": "text-generation"},
        "dataset": {"type": "openai_humaneval", "name": "HumanEval"},
        "metrics": [metric],
    }
    return {
        "license": publication.licence,
        "language": list(publication.card.languages),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "base_model": [each.repo for each in (publication.teacher, publication.init) if each is not None],
        "base_model_relation": "finetune",
        **({"datasets": list(publication.card.datasets)} if publication.card.datasets else {}),
        "tags": ["distillation", "refute", *publication.card.tags],
        "model-index": [{"name": publication.name, "results": [result]}],
    }
