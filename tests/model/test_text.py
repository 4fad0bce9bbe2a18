"""Text and tokens: bytes for the toy models, tokenizer.json for a checkpoint that has one, an error
for anything else.
"""

import pytest
from specref.data import SpecrefError
from specref.model.tokenizer import Bytes, FromFile, tokenizer


def test_bytes_go_there_and_back():
    text = "naïve ☃ = λx: x\n"
    assert Bytes().decode(Bytes().encode(text)) == text
    assert max(Bytes().encode(text)) < 256


def test_bytes_that_are_no_text_decode_to_something_printable():
    assert Bytes().decode([104, 255, 105]) == "h\ufffdi"


def test_a_checkpoints_own_tokenizer_comes_first(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    own = Tokenizer(models.WordLevel({"to": 0, "be": 1, "?": 2}, unk_token="?"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.save(str(tmp_path / "tokenizer.json"))
    read = tokenizer(tmp_path, 256)
    assert isinstance(read, FromFile)
    assert read.encode("to be or") == [0, 1, 2]
    assert read.decode([1, 0]) == "be to"


def test_256_tokens_without_a_tokenizer_are_bytes(tmp_path):
    assert isinstance(tokenizer(tmp_path, 256), Bytes)
    with pytest.raises(SpecrefError, match=r"no tokenizer\.json .*--prompt-ids"):
        tokenizer(tmp_path, 32000)


def test_a_damaged_tokenizer_is_a_clear_error(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(SpecrefError, match="not a readable tokenizer"):
        tokenizer(tmp_path, 256)
