"""The list of answers in an experiment's description."""

from helpers.small_study import STUDY

from study.tracking.descriptions import LONGEST_DESCRIPTION, with_answer


def test_an_answer_takes_the_place_of_the_same_studys() -> None:
    first = with_answer("A user's words.", STUDY, "No trial\nis better.")
    assert first.splitlines()[-1] == "- `s` on `own`: No trial is better."
    assert first.startswith("A user's words.\n\n### ")
    assert with_answer(first, STUDY, "Yes.") == first.replace("No trial is better.", "Yes.")


def test_what_a_user_adds_below_stays() -> None:
    text = with_answer("Head.", STUDY, "Yes.") + "\nMy note."
    assert with_answer(text, STUDY, "No.").splitlines()[-2:] == ["- `s` on `own`: No.", "My note."]


def test_the_first_answers_give_way_to_what_mlflow_takes() -> None:
    text = with_answer("Head.", STUDY, "Yes.")
    many = text.replace("- `s`", "- `first`") + "".join(f"\n- `s{number}` on `own`: {'x' * 900}" for number in range(8))
    found = with_answer(many, STUDY, "No.")
    assert len(found) <= LONGEST_DESCRIPTION
    assert found.endswith("- `s` on `own`: No.")
    assert "`first`" not in found
    assert "`s7`" in found
