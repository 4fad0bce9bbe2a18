"""What an error says of a value or of another error is one short line.

Protects: the terminal and the JSON of whoever sent something absurd.
"""

import pytest
from specref.errors import first_line, shortened


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "3"),
        ("a\nb", r"'a\nb'"),
        ("\udc80 \u2500", r"'\udc80 \u2500'"),
        ("a" * 58, "'" + "a" * 58 + "'"),
        ("a" * 59, "'" + "a" * 56 + "..."),
        pytest.param(10**5000, "a int (ValueError)", id="huge"),
    ],
)
def test_a_value_is_short_and_in_ascii(value: object, said: str) -> None:
    assert shortened(value) == said
    assert len(said) <= 60


def test_as_much_as_is_asked_for() -> None:
    assert shortened("abcdef", 8) == "'abcdef'"
    assert shortened("abcdefg", 8) == "'abcd..."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("one\ntwo"), "ValueError: one"),
        (ValueError(" \n one"), "ValueError: one"),
        (ValueError(), "ValueError"),
        (ValueError("a" * 288), "ValueError: " + "a" * 288),
        (ValueError("a" * 289), "ValueError: " + "a" * 285 + "..."),
    ],
)
def test_an_error_is_its_kind_and_its_first_line(error: Exception, said: str) -> None:
    assert first_line(error) == said
    assert len(said) <= 300
