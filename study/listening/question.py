"""What the page of a study is made of: its winner, another row to compare with, and the clips worth hearing."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from study.ledger.results import study_results
from study.ledger.schema import TrialResult
from study.listening.choice import Choice, Kind, ScoredClips, choose_disagreements, choose_mistakes
from study.listening.held_out import HeldOut, read_held_out, read_scored
from study.stats.rows import choose_baseline, make_row
from study.tagging.winner import Winner


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the study: the word for it on the page, its trial, and what it makes of the held-out clips."""

    word: str
    result: TrialResult
    scored: ScoredClips


@dataclass(frozen=True, eq=False)
class Question:
    """The winner and, where there is one, another row; the N held-out clips, and which of them are worth hearing."""

    winner: Winner
    clips: HeldOut
    rows: Sequence[Row]
    choices: Sequence[Choice]

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags (K,)."""
        return self.winner.study.tags

    def title(self, kind: Kind) -> str:
        """What clips of a kind were chosen for, in words."""
        match kind:
            case "only the first":
                return f"only the {self.rows[0].word} is right"
            case "only the second":
                return f"only the {self.rows[1].word} is right"
            case _:
                return kind

    def tags_of(self, clip: int) -> list[str]:
        """The tags that a clip has."""
        return [tag for tag, there in zip(self.tags, self.clips.targets[clip] > 0, strict=True) if there]


def ask(winner: Winner, most: int) -> Question:
    """Read how the winner and the baseline scored the held-out clips, and choose `most` of each kind and tag.

    Where the winner is the baseline, the other row is the best of the others.

    Raises:
        ListenError: For a study that lacks what this needs.
    """
    ledger = winner.ledger
    clips = read_held_out(ledger)
    rows = [
        Row(word, result, read_scored(ledger, result.key, clips))
        for word, result in [("winner", winner.result), *_other_rows(winner)]
    ]
    choices = choose_mistakes(rows[0].scored, most)
    if len(rows) > 1:
        choices += choose_disagreements(rows[0].scored, rows[1].scored, 2 * most)
    return Question(winner, clips, rows, choices)


def _other_rows(winner: Winner) -> list[tuple[str, TrialResult]]:
    study = winner.study
    done = [trial for trial in study_results(winner.ledger, "interrupted").finished if trial.mean is not None]
    baseline, _ = choose_baseline([make_row(study.name, trial, study.varied) for trial in done], study)
    if baseline is not None and baseline.key != winner.result.key:
        return [("baseline", baseline.result)]
    others = [trial for trial in done if trial.key != winner.result.key]
    return [("runner-up", min(others, key=attrgetter("rank")))] if others else []
