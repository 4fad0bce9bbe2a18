"""A chat template gives the text that transformers gives, runs in a sandbox, and refuses in one
line.

Protects: what a chat's prompt is, and the machine from a stranger's template.
"""

import json

import pytest
from specref.data import SpecrefError
from specref.model.chat import chat_template

TEMPLATE = """{{ bos_token }}{% for message in messages %}
    {% if message['role'] == 'tool' %}
        {{ raise_exception('no\ntools') }}
    {% endif %}
<|{{ message['role'] }}|>{{ message['content'] | trim }}{{ eos_token }}
{% endfor %}
{% if add_generation_prompt %}<|assistant|>{% endif %}"""
MESSAGES = [{"role": "system", "content": " be brief"}, {"role": "user", "content": "hi\n"}]


def settings(folder, **given) -> None:
    tokens = {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens | given))


def test_it_is_the_text_that_transformers_makes(tmp_path):
    from transformers.utils.chat_template_utils import render_jinja_template

    settings(tmp_path, chat_template=TEMPLATE)
    names: dict = {"bos_token": "<s>", "eos_token": "</s>"}
    made_there = render_jinja_template(
        [MESSAGES], chat_template=TEMPLATE, add_generation_prompt=True, **names
    )
    theirs = made_there[0][0]  # one chat; behind the texts stand generation indices
    made = chat_template(tmp_path)
    assert made is not None
    assert made(MESSAGES) == theirs
    assert theirs.startswith("<s>")
    assert theirs.endswith("<|assistant|>")


def test_where_it_may_stand(tmp_path):
    assert chat_template(tmp_path) is None
    settings(tmp_path)
    assert chat_template(tmp_path) is None
    named = [{"name": "rag", "template": "no"}, {"name": "default", "template": "yes"}]
    for place, said in ((named, "yes"), ("text", "text")):
        settings(tmp_path, chat_template=place)
        made = chat_template(tmp_path)
        assert made is not None
        assert made(MESSAGES) == said
    (tmp_path / "chat_template.jinja").write_text("file")
    made = chat_template(tmp_path)
    assert made is not None
    assert made(MESSAGES) == "file"


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[7].role }}",
        "{{ 1 / 0 }}",
        "{% for i in range(10 ** 9) %}a{% endfor %}",
        "{{ raise_exception('two\nlines') }}",
    ],
)
def test_what_it_may_not_do_or_does_not_take_is_one_line(tmp_path, template):
    (tmp_path / "chat_template.jinja").write_text(template)
    made = chat_template(tmp_path)
    assert made is not None
    with pytest.raises(SpecrefError, match="the chat template") as caught:
        made(MESSAGES)
    assert "\n" not in str(caught.value)


def test_a_template_that_is_none_is_refused(tmp_path):
    (tmp_path / "chat_template.jinja").write_text("{% for %}")
    with pytest.raises(SpecrefError, match="chat template that cannot be read"):
        chat_template(tmp_path)
