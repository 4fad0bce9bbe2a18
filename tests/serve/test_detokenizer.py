"""Tokens become text piece by piece, and the pieces are the whole text up to its first stop.

Protects: readers of a stream from a stop that was shown, and from text that comes too late, twice
or never; whatever the tokenizer drops in front.
"""

from hypothesis import given
from hypothesis import strategies as st
from specref.model.tokenizer import Bytes
from specref.serve.detokenizer import StreamDetokenizer


class DropsFirstSpace(Bytes):
    """As SentencePiece's tokenizers do: the first space of whatever is decoded is lost."""

    def decode(self, tokens):
        return super().decode(tokens).removeprefix(" ")


def shown(scribe: StreamDetokenizer, text: bytes, cuts: list[int]) -> list[str]:
    """What is shown as the text's pieces come."""
    pieces, begin = [], 0
    for end in [*sorted(cuts), len(text)]:
        last = end == len(text)
        taken, piece = scribe.take(list(text[begin:end]), last)
        pieces.append(piece)
        if scribe.stopped or last:
            break
        begin += taken
    return pieces


@given(
    text=st.text(alphabet="abé ", min_size=1, max_size=12),
    stops=st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(1, 24), max_size=4, unique=True),
)
def test_the_pieces_are_the_text_up_to_its_first_stop(text, stops, cuts):
    """A text is cut when its first stop is complete, at that stop's beginning; and nothing waits
    that can no longer become one.
    """
    raw = text.encode()
    pieces = shown(StreamDetokenizer(Bytes(), [65], stops), raw, [c for c in cuts if c < len(raw)])
    ends = [text.index(stop) + len(stop) for stop in stops if stop in text]
    first = text[: min(ends)] if ends else text
    want = first[: min((first.index(stop) for stop in stops if stop in first), default=len(first))]
    assert "".join(pieces) == want


def test_as_much_waits_as_may_become_the_longest_stop():
    scribe = StreamDetokenizer(Bytes(), [65], ["bx", "abab"])
    assert scribe.take(list(b"caab"), False) == (4, "ca")
    assert scribe.take(list(b"abb"), True) == (2, "")
    assert scribe.stopped


def test_a_space_that_the_tokenizer_drops_in_front_of_a_text_is_kept_within_it():
    """It is dropped from the prompt, not from the answer, which goes on after the prompt."""
    scribe = StreamDetokenizer(DropsFirstSpace(), list(b" a"))
    assert scribe.take(list(b" b c"), True) == (4, " b c")


def test_without_a_tokenizer_the_text_is_the_ids():
    scribe = StreamDetokenizer(None, [3, 4], silent=[9])
    assert scribe.take([1, 9, 22], False) == (3, " 1 22")
    assert scribe.take([5], True) == (1, " 5")


def test_no_stop_counts_before_the_least_number_of_tokens():
    scribe = StreamDetokenizer(Bytes(), [65], ["b"], least=3)
    assert scribe.take(list(b"abab"), False) == (3, "a")


def test_of_stops_that_end_at_one_token_the_longer_begins_first():
    scribe = StreamDetokenizer(Bytes(), [65], ["b", "ab"])
    assert scribe.take(list(b"cab"), False) == (3, "c")
    assert scribe.stopped
