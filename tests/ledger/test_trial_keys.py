"""The key of a trial: what it depends on, and that studies of earlier versions keep theirs."""

from dataclasses import replace
from typing import Any

import pytest
from helpers.small_study import STUDY

from audiotag.config import TrialConfig
from study.ledger.context import NEWER, StudyContext

CONTEXT = StudyContext(STUDY)


@pytest.mark.parametrize(
    ("parameters", "key", "key_of_format_4"),
    [
        ({}, "3d61dcd4b9aa", "9ba245b68eea"),
        ({"augmentation": "mixup", "alpha": 1.5}, "7c9a270b93b9", "b38fe2efdd85"),
        ({"model": "dae_dnn"}, "c189c6e92a78", "106c8c192df4"),
        ({"model": "cgrnn", "imd": True}, "106019bdaf1e", "68db842199f3"),
    ],
)
def test_trials_have_the_keys_that_earlier_versions_gave_them(
    parameters: dict[str, Any], key: str, key_of_format_4: str
) -> None:
    """As they were before there was `sampling`; with others a study would begin anew where it was broken off."""
    assert CONTEXT.key_of(parameters) == key
    assert replace(CONTEXT, study=replace(STUDY, format=4)).key_of(parameters) == key_of_format_4


def test_a_newer_hyperparameter_counts_where_it_differs_from_what_was_done_before() -> None:
    defaults = TrialConfig().to_dict()
    assert {name: defaults[name] for name in NEWER} == NEWER
    assert CONTEXT.key_of({"sampling": "balanced"}) != CONTEXT.key_of({"sampling": "uniform"}) == CONTEXT.key_of({})
