"""Text to token ids and back: a checkpoint's tokenizer.json where it has one, else one token a
byte.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ..data import SpecrefError


class Tokenizer(Protocol):
    def encode(self, text: str, special: bool = True) -> list[int]:
        """Token ids.

        Args:
            special: add the tokens that begin or end every text, where the tokenizer has such; a
                chat template writes its own.
        Errors:
            SpecrefError for a text that holds half a surrogate pair.
        """
        ...

    def decode(self, tokens: Sequence[int]) -> str: ...


class Bytes:
    """UTF-8 bytes; what is no UTF-8 decodes to the replacement character."""

    def encode(self, text: str, special: bool = True) -> list[int]:
        return list(_utf8(text))

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode(errors="replace")


class FromFile:
    """A Hugging Face tokenizer.json, read by the `tokenizers` package."""

    def __init__(self, path: Path):
        try:
            from tokenizers import Tokenizer as Fast
        except ImportError:
            raise SpecrefError(
                f"{path} needs the tokenizers package: pip install 'specref[tokenizer]'"
            ) from None
        try:
            self.tokenizer = Fast.from_file(str(path))
        except Exception as error:  # the package raises a bare Exception
            raise SpecrefError(
                f"{path} is not a readable tokenizer ({error}): copy the checkpoint again"
            ) from None

    def encode(self, text: str, special: bool = True) -> list[int]:
        _utf8(text)
        return self.tokenizer.encode(text, add_special_tokens=special).ids

    def decode(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.decode(list(tokens), skip_special_tokens=False)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise SpecrefError(
            "the text holds half a surrogate pair, which is no Unicode: take it out"
        ) from None


def tokenizer(folder: Path, vocabulary: int) -> Tokenizer:
    """The tokenizer of the checkpoint in `folder`.

    Errors:
        SpecrefError when there is none and the vocabulary is not bytes.
    """
    path = folder / "tokenizer.json"
    if path.exists():
        return FromFile(path)
    if vocabulary == 256:
        return Bytes()
    raise SpecrefError(
        f"{folder} has no tokenizer.json and {vocabulary} tokens are not bytes: copy the tokenizer"
        " beside the checkpoint, or give the prompt as --prompt-ids"
    )
