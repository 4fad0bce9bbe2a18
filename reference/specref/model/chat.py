"""A checkpoint's chat template: messages to the text that the target continues.

The template is the checkpoint's own program, in Jinja. It runs in a sandbox: it can read the
messages and nothing else.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import SpecrefError, first_line
from .checkpoint import read_json

Render = Callable[[list[dict[str, str]]], str]


def chat_template(folder: Path) -> Render | None:
    """The template of the checkpoint in `folder`: messages of role and content -> text, with the
    beginning of the answer. None where it has none.

    Errors:
        SpecrefError for a template that is no Jinja; later, for messages that it refuses.
    """
    settings: dict[str, Any] = {}
    if (folder / "tokenizer_config.json").exists():
        settings = read_json(folder / "tokenizer_config.json")
    source = _source(folder, settings)
    if source is None:
        return None
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    sandbox.globals["raise_exception"] = _refuse
    try:
        template = sandbox.from_string(source)
    except jinja2.TemplateError as error:
        raise SpecrefError(
            f"{folder} has a chat template that cannot be read ({first_line(error)}): copy the"
            " checkpoint again"
        ) from None
    names = {name: _token(settings.get(name)) for name in ("bos_token", "eos_token")}

    def render(messages: Sequence[dict[str, str]]) -> str:
        try:
            return template.render(messages=messages, add_generation_prompt=True, **names)
        except SpecrefError:
            raise
        except Exception as error:  # whatever a stranger's template does
            raise SpecrefError(
                f"the chat template does not take these messages ({first_line(error)}): change"
                " their roles or their order"
            ) from None

    return render


def _source(folder: Path, settings: dict[str, Any]) -> str | None:
    """The template's text: a file of its own, or a setting of the tokenizer, which may be a list of
    named ones.
    """
    path = folder / "chat_template.jinja"
    if path.exists():
        return path.read_text(encoding="utf-8")
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def _token(value: Any) -> str:
    """A token's text, which stands alone or in an object."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else ""


def _refuse(message: str) -> None:
    """What templates call for messages that they do not take."""
    said = " ".join(str(message).split())[:200]
    raise SpecrefError(f"the chat template refuses the messages: {said}")
