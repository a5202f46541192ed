"""The list of answers in an experiment's description."""

from helpers.small_study import STUDY

from study.tracking.descriptions import LONGEST_DESCRIPTION, describe_experiment, with_answer

LINK = "#/experiments/1/runs"


def test_an_answer_takes_the_place_of_the_same_studys() -> None:
    first = with_answer("A user's words.", STUDY, "No trial\nis better.", LINK)
    assert first.splitlines()[-1] == f"- `s` on `own`: No trial is better. [Its trials]({LINK})"
    assert first.startswith("A user's words.\n\n### ")
    assert with_answer(first, STUDY, "Yes.", LINK) == first.replace("No trial is better.", "Yes.")


def test_answers_stand_between_the_question_and_its_explanation() -> None:
    before = describe_experiment(STUDY)
    found = with_answer(with_answer(before, STUDY, "No.", LINK), STUDY, "Yes.", LINK)
    question, answers, explanation = found.split("\n### ")
    assert question.strip() == STUDY.question
    assert answers.splitlines()[2:] == [f"- `s` on `own`: Yes. [Its trials]({LINK})"]
    assert before.endswith(explanation)
    assert with_answer(found, STUDY, "Yes.", LINK) == found


def test_what_a_user_adds_below_stays() -> None:
    text = with_answer("Head.", STUDY, "Yes.", LINK) + "\nMy note."
    assert with_answer(text, STUDY, "No.", LINK).splitlines()[-2:] == [
        f"- `s` on `own`: No. [Its trials]({LINK})",
        "My note.",
    ]


def test_the_first_answers_give_way_to_what_mlflow_takes() -> None:
    text = with_answer("Head.", STUDY, "Yes.", LINK)
    many = text.replace("- `s`", "- `first`") + "".join(f"\n- `s{number}` on `own`: {'x' * 900}" for number in range(8))
    found = with_answer(many, STUDY, "No.", LINK)
    assert len(found) <= LONGEST_DESCRIPTION
    assert found.endswith(f"- `s` on `own`: No. [Its trials]({LINK})")
    assert "`first`" not in found
    assert "`s7`" in found


def test_a_description_of_all_metrics_leaves_room_for_answers() -> None:
    assert len(describe_experiment(STUDY)) < LONGEST_DESCRIPTION / 2
