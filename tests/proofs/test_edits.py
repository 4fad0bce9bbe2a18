"""The edits that the proofs' mutation runs make still fit the text that they edit.

Protects: `python -m proofs.run --mutate`, which takes minutes and is run by hand: a formatter moved
a line once, and nobody saw that the run had stopped.
"""

import pytest

from proofs.coq.edits import EDITS, EQUAL, SAME, Edit
from proofs.exact import claims, counterexamples, several_claims
from proofs.exact.mutate import EDITS as EXACT_EDITS
from proofs.exact.mutate import PACKAGE

COQ = PACKAGE.parent / "coq" / "definitions.v"


@pytest.mark.parametrize("edit", EXACT_EDITS, ids=lambda edit: edit.name)
def test_an_edit_of_the_specification_fits_one_place(edit) -> None:
    assert (PACKAGE / edit.file).read_text().count(edit.old) == 1
    assert edit.old != edit.new


@pytest.mark.parametrize("edit", [*EDITS, *SAME, *EQUAL], ids=lambda edit: edit.name)
def test_an_edit_of_the_definitions_and_its_twin_fit_one_place_each(edit: Edit) -> None:
    assert COQ.read_text().count(edit.old) == 1
    assert edit.old != edit.new
    for swap in edit.same:
        assert (PACKAGE / swap.file).read_text().count(swap.old) == 1
    known = {**vars(claims), **vars(counterexamples), **vars(several_claims)}
    assert not edit.claim or edit.disproof or edit.claim in known


def test_every_edit_names_its_twin_and_no_control_has_one() -> None:
    assert all(edit.same for edit in EDITS)
    assert not any(edit.same or edit.claim for edit in (*SAME, *EQUAL))
