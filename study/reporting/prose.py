"""A study's findings in sentences."""

from typing import Any

from study.format import decimal, duration, signed
from study.ledger import paper as published
from study.ledger.provenance import continuations
from study.ledger.results import SHOWN_ROWS, has_repeats
from study.ledger.seeds import seeds_in_words, single_trainings
from study.reporting.seed_spread import caution, lower_with, trust_in_seeds
from study.reporting.tables import SD_SEEDS, left_out
from study.stats.analysis import Findings, Row
from study.stats.significance import LEVEL

ONE_SEED = (
    "All trials share folds, initial weights and batch order, so their differences are paired. What another seed would "
    "give is in no interval: run the study again with --repeats 3, or with another --seed and compare the reports."
)
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def answer(findings: Findings) -> str:
    """The answer to the study's question, in one sentence."""
    best, baseline = findings.best, findings.baseline
    so_far = "" if findings.results["status"] == "finished" else "So far: "
    if best is None or baseline is None:
        return f"{so_far}there is no answer yet, because no trial has finished."
    if not findings.others:
        return f"{so_far}{best.label} has a mean EER of {decimal(best.mean)}, and there is nothing to compare it with."
    return so_far + _verdict(findings, best, baseline) + caution(findings)


def _verdict(findings: Findings, best: Row, baseline: Row) -> str:
    """What the comparisons with the baseline come to."""
    real = [row for row in findings.others if row.adjusted is not None and row.adjusted < LEVEL]
    better = [row for row in real if row.mean < baseline.mean]
    worse = len(real) - len(better)
    one = len(findings.others) == 1
    there = f"{baseline.label} (mean EER {decimal(baseline.mean)})"
    tail = f"; {worse} of the {len(findings.others)} others {'is' if worse == 1 else 'are'} worse" if worse else ""
    if better:
        first = min(better, key=lambda row: row.mean)
        more = f", and so {'is one' if len(better) == 2 else f'are {len(better) - 1}'} more" if len(better) > 1 else ""
        return f"{first.label} (mean EER {decimal(first.mean)}) is better than {there} by more than chance{more}{tail}."
    subject = findings.others[0].label if one else f"none of the {len(findings.others)} others"
    if best is baseline:
        sure = tail if not one else "; it is worse" if worse else ""
        unsure = f", and {'it is not' if one else 'none is'} worse by more than chance"
        return f"{subject} does {'no ' if one else ''}better than {there}{sure or unsure}."
    lowest = "its mean" if one else f"the lowest, {best.label}"
    return (
        f"{subject} is {'not ' if one else ''}better than {there} by more than chance: {lowest} ({decimal(best.mean)}) "
        f"lies {decimal(baseline.mean - best.mean)} below it, which {folds_in_words(findings)} cannot tell from "
        f"nothing{tail}."
    )


def capitalised(text: str) -> str:
    """A sentence with a capital at its start."""
    return text[:1].upper() + text[1:]


def folds_in_words(findings: Findings) -> str:
    """ "five folds"."""
    folds = len(findings.study["corpus"]["folds"])
    return f"{NUMBERS[folds] if folds < len(NUMBERS) else folds} folds"


def partial(findings: Findings) -> str | None:
    """What is not there yet; None for a finished study."""
    if findings.results["status"] == "finished":
        return None
    done = len(findings.results["trials"])
    return (
        f"{done} of {findings.study['trials']} trials are done; the others are not in these figures. "
        f"Continue with: python study/run.py --resume {findings.study['study']}"
    )


def notes(findings: Findings) -> list[str]:
    """What a reader must know before any figure."""
    said = []
    if findings.study["corpus"].get("kind") == "synthetic":
        said.append(
            "A synthetic corpus: these figures show that the study works and say nothing about real recordings."
        )
    if note := left_out(findings.study):
        said.append(note)
    if findings.failed:
        said.append(
            f"{_trials(len(findings.failed))} failed and {'is' if len(findings.failed) == 1 else 'are'} left out."
        )
    if findings.stopped:
        said.append(
            f"{_trials(len(findings.stopped))} stopped early, with too few folds to be compared: left out of tables, "
            "statistics and figures, and listed below."
        )
    return said


def table_note(findings: Findings) -> str:
    """Under the table of the cross-validation."""
    said = (
        "EER of each tag, mean over the folds; Avg, their mean; Var, their sample variance times 1000, as published. "
        "Small: 95 % intervals by a bootstrap over groups: for as many other recordings of the same kind, heard by "
        "the same networks."
    )
    if any(row.best_share is not None for row in findings.shown):
        said += " Best in: the share of those draws in which the row is the best of those shown."
    if has_repeats(findings.results):
        said += f" {SD_SEEDS}: the standard deviation of Avg from seed to seed."
    return said + hidden(findings)


def published_note(findings: Findings) -> str:
    """Below tables with published rows, where they come from and what is odd in them; nothing without such rows."""
    return " ".join(published.notes([row.result["published"] for row in findings.shown if "published" in row.result]))


def hidden(findings: Findings) -> str:
    """What of a large study is not shown."""
    if len(findings.shown) == len(findings.rows):
        return ""
    return f" Shown are the best {SHOWN_ROWS} of {len(findings.rows)} trials and the baseline; table.md has all."


def test_note(findings: Findings) -> str:
    """Under the comparisons with the baseline."""
    folds = len(findings.study["corpus"]["folds"])
    factor = 1 / folds + 1 / max(folds - 1, 1)
    return (
        f"Paired over {folds_in_words(findings)}: t = mean(d) / sqrt({factor:.2f} var(d)) with {folds - 1} degrees of "
        "freedom (Nadeau and Bengio's corrected resampled t, because training sets overlap). Holm's p allows for "
        f'{_count(len(findings.others), "comparison")}. "Not distinguishable" is no proof of equality: the interval '
        "says how large a difference may still be." + hidden(findings)
    )


def trust(findings: Findings) -> list[str]:
    """The protocol and what it means, with the optimism that could be estimated."""
    folds = folds_in_words(findings)
    said = [
        f"An EER is the mean over {folds}, each held out once; it is never pooled over them.",
        *_stopping(findings),
        *_selection(findings),
    ]
    if any("eval_eer" in row.result for row in findings.rows):
        said.append(
            "The evaluation split took no part in training, stopping or choosing, so its figures are not optimistic, "
            "unless a row is picked by them."
        )
    if changes := "; then ".join(continuations(findings.study)):
        why = "rounding and random numbers may differ between the parts"
        said.append(f"Another program went on with the study than had begun it ({changes}): {why}.")
    return said + (trust_in_seeds(findings) or [ONE_SEED])


def _stopping(findings: Findings) -> list[str]:
    if findings.results["protocol"] == "nested":
        return [
            "Protocol nested: the held-out folds were only scored; validation clips came out of the training folds."
        ]
    said = "Protocol paper: the held-out fold also chose the epoch to stop at, so its EER is optimistic"
    if findings.stopping_optimism is None:
        return [f"{said}; by how much cannot be estimated here."]
    moved = signed(findings.stopping_optimism)
    return [
        f"{said}. Stopped where the other folds had their best epochs, the best row's mean would change by {moved}. "
        "--protocol nested avoids it."
    ]


def _selection(findings: Findings) -> list[str]:
    best, optimism = findings.best, findings.selection_optimism
    if best is None or optimism is None:
        return []
    trials = _count(len(findings.rows), "trial")
    return [
        f"The best of {trials} was chosen on the folds that score it, so its mean of {decimal(best.mean)} is too good. "
        f"Chosen on the other folds each time and scored on the one left out, it is {decimal(best.mean + optimism)}: "
        f"an optimism of {signed(optimism)}."
        + (
            " Trials that were stopped early were judged on these folds, too; that is not in it."
            if findings.stopped
            else ""
        )
    ]


def cost(findings: Findings) -> list[str]:
    """Seconds, epochs, and what went wrong."""
    trials = findings.results["trials"]
    folds = [fold for trial in trials for fold in single_trainings(trial)]
    what = "fold training" if has_repeats(findings.results) else "fold"
    epochs = sum(fold["epochs"] for fold in folds)
    seconds = sum(trial["seconds"] for trial in trials)
    said = [
        f"{_count(len(findings.rows), 'trial')} finished, {len(findings.stopped)} stopped early by a scheduler, "
        f"{len(findings.failed)} failed, {findings.unfinished} without a result yet.",
        f"{_count(epochs, 'epoch')} in {_count(len(folds), what)}; {duration(seconds)} of training in all"
        + (f", {duration(seconds / len(trials))} a trial on average." if trials else "."),
    ]
    if findings.stopped:
        spent = sum(trial["seconds"] for trial in findings.stopped)
        folds_done = sum(len(trial["folds"]) for trial in findings.stopped)
        said.append(
            f"The stopped trials had {_count(folds_done, 'fold')} of "
            f"{len(findings.stopped) * len(findings.study['corpus']['folds'])}, {duration(spent)} of training."
        )
    limits = {trial["key"]: trial["params"].get("max_epochs") for trial in trials}
    full = sum(fold["epochs"] == limits[trial["key"]] for trial in trials for fold in single_trainings(trial))
    if full:
        said.append(
            f"{full} of {_count(len(folds), what)} ran into the limit of epochs before they stopped by themselves: "
            "with more epochs they might still get better."
        )
    return said


def facts(findings: Findings) -> list[tuple[str, str]]:
    """What the figures are about."""
    study, corpus = findings.study, findings.study["corpus"]
    seeds, _, which = seeds_in_words(study).partition(" ")
    clips = f"{corpus['name']}, {corpus['development_clips']} clips in {len(corpus['folds'])} folds"
    if corpus.get("evaluation_clips"):
        clips += f" and {corpus['evaluation_clips']} for evaluation"
    return [
        ("corpus", clips),
        ("trials", f"{len(findings.results['trials'])} of {study['trials']}"),
        ("protocol", study["protocol"]),
        (seeds, which),
        ("begun", study.get("created", "")[:10]),
    ]


def origin(findings: Findings) -> list[tuple[str, str]]:
    """What it takes to get the same numbers again."""
    study = findings.study
    said: list[tuple[str, Any]] = [
        ("corpus", study["corpus"].get("path")),
        ("fingerprint", study["corpus"]["fingerprint"]),
        ("seed", study["seed"]),
        ("repeats", findings.results.get("repeats")),
        ("protocol", study["protocol"]),
        ("settings", "; ".join(_settings(model, values) for model, values in study["settings"].items())),
        ("commit", study.get("git_commit")),
        ("versions", ", ".join(f"{name} {text}" for name, text in study.get("versions", {}).items())),
        ("went on with", "; then ".join(continuations(study))),
        ("space", f"{study['space']}, file {study.get('space_fingerprint', '')}"),
    ]
    return [(name, str(value)) for name, value in said if value not in (None, "")]


def _settings(model: str, values: dict[str, Any]) -> str:
    return f"{model}: " + (", ".join(f"{name} {value}" for name, value in values.items()) or "the defaults")


def markdown_findings(findings: Findings) -> str:
    """What table.md says below its tables: the answer, each row against the baseline, how far to trust it."""
    parts = ["## Answer", answer(findings)]
    if findings.baseline is not None and findings.others:
        seeds = has_repeats(findings.results)
        lines = [f"| trial | Avg | 95 % interval | difference | t | p | Holm p |{' lower with |' * seeds} in words |"]
        lines += ["| --- " + "| ---: " * (6 + seeds) + "| --- |"]
        lines += [_markdown_row(row, findings) for row in findings.rows]
        parts += ["## Against the baseline", "\n".join(lines), test_note(findings)]
    parts += ["## How far to trust this", "\n".join(f"- {line}" for line in [*findings.missing, *trust(findings)])]
    return "\n\n".join(parts)


def _markdown_row(row: Row, findings: Findings) -> str:
    held = row.intervals.get("mean")
    interval = "" if held is None else f"{decimal(held[0])} to {decimal(held[1])}"
    test = ["", "", "", ""]
    if row.test is not None and row.adjusted is not None:
        test = [signed(row.test.difference), f"{row.test.t:.2f}", decimal(row.test.p), decimal(row.adjusted)]
    seeds = [seeds_lower(row, findings)] if has_repeats(findings.results) else []
    cells = [row.label, decimal(row.mean), interval, *test, *seeds, row.words]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def seeds_lower(row: Row, findings: Findings) -> str:
    """With how many of the seeds a row lies below the baseline: "2 of 3 seeds"; nothing for the baseline itself."""
    if findings.baseline is None or row is findings.baseline:
        return ""
    return f"{lower_with(row, findings.baseline)} of {findings.results['repeats']} seeds"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _trials(number: int) -> str:
    return _count(number, "trial")
