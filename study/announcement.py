"""What a session says before it trains: the study, its budget, what it can see, and what a user should know."""

from functools import partial

from rich.console import Console

from audiotag.config import TrialConfig
from audiotag.corpus.errors import count, list_first
from audiotag.corpus.validate import cell_warnings, tag_warnings, torn_groups
from audiotag.metrics import DEFAULT
from audiotag.uris import public
from study.cli import say, uri_from_here
from study.format import clips_in_words, seeds_in_words, trial_name
from study.ledger.partitions import in_partition
from study.ledger.schema import StudyRecord
from study.plan.plan import Plan
from study.plan.preflight import lacks_bf16
from study.reporting.prose import left_out
from study.reporting.sensitivity import design_line
from study.search.asha import rungs_in_words


def announce(plan: Plan, uri: str, console: Console, asked: int | None = None, *, own_budget: bool = False) -> None:
    """Say what is about to run.

    Args:
        plan: Of the study.
        uri: Of the tracking store.
        console: Where it is said.
        asked: The number of trials that was asked for.
        own_budget: Whether the number of epochs was, too.
    """
    tell = partial(say, console, indent=9)
    study, corpus = plan.study, plan.corpus
    note = f" ({corpus.layout.note})" if corpus.layout.note else ""
    tell(f"Corpus   {corpus.name}{note}")
    tell(f"Study    {study.name}{' (resumed)' if plan.ledger else ''}")
    tell(f"Space    {study.space}: {study.question.splitlines()[0]}")
    if (of := study.confirms) is not None:
        rows = [trial_name(trial.config, study.varied) or trial.key for trial in (of.winner, of.baseline)]
        tell(f"Confirms {of.study}: {rows[0]} against {rows[1]}, on new folds and with new seeds")
    divided = clips_in_words(len(corpus.development), len(study.folds), study.corpus.split)
    tell(
        f"Clips    {divided.replace(' clips', '')}, {count(len(corpus.tags), 'tag')}"
        + (f"; {len(corpus.evaluation)} for evaluation" if len(corpus.evaluation) else "")
    )
    if study.has_several_partitions:
        others = count(len(study.drawn), "other")
        tell(f"         {len(study.partitions)} partitions: the corpus's own folds and {others}, drawn from the seed")
    if study.is_until_clear:
        tell(f"         partitions are added one at a time, {study.most} at most, to the rows that are not clear yet")
    each = "each" if study.has_fixed_split else "each fold"
    seeds = f", {each} with {study.repeats} seeds" if study.has_several_seeds else ""
    rungs = rungs_in_words(study) if study.scheduler == "asha" else ""
    tell(f"Trials   {study.trials} ({plan.space.sampler}{rungs}){seeds}")
    for config in plan.configs():
        tell(f"         {budget_line(config, study.has_fixed_split)}")
    if corpus.layout.quick and plan.ledger is None and not own_budget:
        tell("         a short budget for this corpus; --epochs overrides")
    if (objective := study.objective).name != DEFAULT:
        extreme = "lowest" if objective.lower_is_better else "highest"
        tell(f"Metric   {objective.title}: the trial with the {extreme} {objective.mean_title} is chosen")
    if line := design_line(study):
        tell(f"Sees     {line}")
    tell(f"Protocol {study.protocol}, {seeds_in_words(study.seeds)}; MLflow {uri_from_here(public(uri))}")
    for note in [*trials_notes(study, asked), *corpus_notes(plan)]:
        say(console, f"note: {note}", style="yellow", indent=6)


def trials_notes(study: StudyRecord, asked: int | None) -> list[str]:
    """That a study has fewer trials than were asked for, where its space has no more."""
    if asked is None or asked <= study.trials:
        return []
    can_run = " that can run on this corpus" if study.left_out else ""
    return [f"--trials is {asked}, but the space has only {count(study.trials, 'trial')}{can_run}: all of them run"]


def corpus_notes(plan: Plan) -> list[str]:
    """What a user should know of the corpus before it is trained on."""
    corpus = plan.corpus
    notes = [*corpus.notes, *tag_warnings(corpus)]
    notes += [f"without {clip}: {reason}" for clip, reason in corpus.skipped.items()]
    notes += [f"{count(len(clips), 'clip')} {what}: {list_first(clips)}" for what, clips in corpus.doubts.items()]
    notes += [note] if (note := left_out(plan.study)) else []
    return notes + cell_warnings(corpus) + partition_notes(plan)


def partition_notes(plan: Plan) -> list[str]:
    """What a user should know of the partitions that were drawn: how they differ from the corpus's own folds."""
    study, corpus, notes = plan.study, plan.corpus, []
    if study.has_several_partitions and (torn := torn_groups(corpus)):
        notes.append(f"{count(len(torn), 'group')} in several of the corpus's own folds; drawn folds keep groups whole")
    for partition in study.partitions[1:]:
        if cells := in_partition(corpus, study, partition).unscored_cells():
            places = [f"`{tag}` in fold {fold}" for tag, fold in cells]
            notes.append(f"partition {partition} cannot score {list_first(places)}: left out there")
    return notes


def bf16_note(plan: Plan, per_trial: dict[str, float], address: str | None) -> str:
    """A warning where trials compute in bf16, or may, on this machine's CPU, and it has no arithmetic for it."""
    used = "precision" in plan.study.varied or any(config.precision == "bf16" for config in plan.configs())
    if not used or per_trial["gpu"] or address is not None or not lacks_bf16():
        return ""
    return "note: this CPU has no bf16 arithmetic: in bf16 a training step takes up to ten times as long as in fp32"


def budget_line(config: TrialConfig, fixed_split: bool = False) -> str:
    """How long a fold of a model, or the model on a fixed split, is trained, and in what steps."""
    first = f"{epochs} epochs of pretraining, then " if (epochs := config.get("pretrain_epochs")) else ""
    steps = f"batches of {config.batch_size}, {config.optimizer} at {config.learning_rate:g}"
    most = count(config.max_epochs, "epoch")
    return (
        f"{config.model}: {first}at most {most}{' per fold' * (not fixed_split)}, patience {config.patience}, {steps}"
    )


def resources_line(per_trial: dict[str, float], slots: int, nodes: int) -> str:
    """What the trials share."""
    cards = f" and {per_trial['gpu']:g} GPU" if per_trial["gpu"] else ""
    where = f" on {nodes} nodes" if nodes > 1 else ""
    return f"Running  {slots} side by side{where}, {per_trial['cpu']:g} CPU{cards} each"
