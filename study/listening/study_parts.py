"""The parts of a study's page: an overview, which tags are taken for which, and the clips to be heard."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.errors import count
from audiotag.corpus.labels import have_unknown
from study.format import decimal, trial_name
from study.listening.choice import Kind
from study.listening.clip_player import anchor_of
from study.listening.confusions import Confusion, find_confusions
from study.listening.options import Options
from study.listening.page import NO_CURVES, Group, ListeningPage, Part, explain
from study.listening.question import Question
from study.listening.sound import BIT_RATE
from study.reporting.prose import PROTOCOLS, named
from study.reporting.tables import Line, Table

CONFUSIONS = 20  # that are listed
SAME = 0.001  # scores that differ by less are the same to rounding
FULL = "Left out, because the page is full (--limit)."


@dataclass(eq=False)
class Content:
    """What there is to be shown.

    Attributes:
        players: As HTML, by clip; of the chosen clips those for which there is room.
        deviation: How far the scores of the models are from those of the study, at most.
        has_curves: Whether the network has curves over time.
    """

    players: dict[int, Markup]
    deviation: float
    has_curves: bool


def lay_out(question: Question, corpus: Corpus, options: Options, content: Content) -> ListeningPage:
    """Lay a study's page out."""
    study, shown = question.winner.study, set[int]()
    differences: tuple[Kind, ...] = ("only the first", "only the second")
    parts = [_overview(question), _confusions(question)]
    if len(question.rows) > 1:
        groups = [_group(question, kind, None, content, shown) for kind in differences]
        parts.append(Part("Where the two rows disagree", "differences", groups=groups))
    mistakes: tuple[Kind, ...] = ("missed", "false alarm")
    for tag, name in enumerate(question.tags):
        groups = [_group(question, kind, tag, content, shown) for kind in mistakes]
        full_name = corpus.layout.tag_names.get(name)
        parts.append(Part(f"{name}, {full_name}" if full_name else name, f"tag-{tag}", groups=groups))
    return ListeningPage(
        title=f"{study.name}: what its winner gets wrong",
        lead=f"Held-out clips of the corpus {corpus.name}, to be heard",
        banners=[line for line in (corpus.layout.terms, _warn(content)) if line],
        facts=[*_facts(question, options, content), *_tag_names(corpus)],
        key=_key(question, options, content),
        parts=parts,
    )


def _warn(content: Content) -> str:
    if content.deviation < SAME:
        return ""
    return (
        f"On this machine the models give other scores than in the study, by up to {decimal(content.deviation)}: the "
        "curves may not show what was scored."
    )


def _group(question: Question, kind: Kind, tag: int | None, content: Content, shown: set[int]) -> Group:
    """The clips of a kind, of one tag or of all; one that is on the page already is named with a link to it."""
    choices = [one for one in question.choices if one.kind == kind and tag in (None, one.tag)]
    items: list[Markup | tuple[str, str]] = []
    for choice in choices:
        if choice.clip in shown:
            name = question.clips.names[choice.clip]
            items.append((anchor_of(choice.clip), f"{name}: shown above"))
        elif choice.clip in content.players:
            shown.add(choice.clip)
            items.append(content.players[choice.clip])
    title = question.title(kind) if tag is None else {"missed": "worst misses"}.get(kind, "worst false alarms")
    return Group(f"{title[0].upper()}{title[1:]}", items, FULL if choices else "None.")


def _facts(question: Question, options: Options, content: Content) -> list[str]:
    study, facts = question.winner.study, []
    for row in question.rows:
        name = trial_name(row.result.params, study.varied) or row.result.key
        mean = f"{study.objective.mean_title} {decimal(row.result.mean)}"
        facts.append(f"{row.word[0].upper()}{row.word[1:]}: {named(name)}, {mean}.")
    if len(question.rows) == 1:
        facts.append("No other row is finished: there is none to disagree with.")
    seeds = ", means over the seeds" * study.has_several_seeds
    model = "a model" if study.has_fixed_split else "the model of its own fold"
    facts.append(
        f"Scores and curves of a clip are those of {model}, which was never trained on it"
        f"{seeds} (protocol {study.protocol}: {PROTOCOLS[study.protocol]})."
    )
    facts += [NO_CURVES] * (not content.has_curves)
    chosen, there = len({choice.clip for choice in question.choices}), len(content.players)
    fit = "all are here" if chosen == there else f"{there} of them are here, the worst of every tag first"
    facts.append(
        f"Chosen: {count(chosen, 'clip')}, for up to {options.clips} misses and {options.clips} false alarms per tag, "
        f"and {2 * options.clips} disagreements of each kind. The page takes at most {options.limit:g} MB (--limit): "
        f"{fit}."
    )
    return facts


def _tag_names(corpus: Corpus) -> list[str]:
    """What the tags stand for, where they are abbreviations."""
    names = [f"{tag} ({name})" for tag, name in corpus.layout.tag_names.items() if tag in corpus.tags]
    return [f"Tags: {', '.join(names)}."] if names else []


def _key(question: Question, options: Options, content: Content) -> list[str]:
    study, front_end = question.winner.study, question.winner.config.front_end
    unknown = "; grey where nobody knows" * have_unknown(question.clips.targets)
    sound = (
        f"The sound is what the network gets: {front_end.sample_rate / 1000:g} kHz, cut or padded to "
        f"{study.corpus.clip_seconds:.3g} s, as Opus of {BIT_RATE // 1000} kbit/s."
    )
    if options.link:
        sound = (
            "The sound is linked, not embedded: it plays while page and corpus stay where they are, and where the "
            f"browser knows the format. The network gets its first {study.corpus.clip_seconds:.3g} s."
        )
    where = "on the test clips" if study.has_fixed_split else "in the clip's fold"
    return [
        f"The threshold of a tag is the score at which misses equal false alarms {where}. A clip with the "
        "tag and a lower score is missed; one without it that does not score lower is a false alarm. The worst are "
        "farthest from their thresholds, in log-odds.",
        *explain(content.has_curves),
        *[f"An area is blue where the winner is right about the tag, and orange where it is wrong{unknown}."]
        * content.has_curves,
        sound,
    ]


def _overview(question: Question) -> Part:
    """How many clips of each tag the rows get wrong."""
    rows = question.rows
    wrong = [row.scored.wrong for row in rows]
    counted = {
        "missed": [row.scored.missed for row in rows],
        "false alarms": [row.scored.false_alarms for row in rows],
        "right alone": [wrong[1] & ~wrong[0], wrong[0] & ~wrong[1]] if len(rows) > 1 else [],
    }
    header, columns = ["tag", "clips"], [question.clips.targets > 0]
    if have_unknown(question.clips.targets):
        header, columns = [*header, "known"], [*columns, ~np.isnan(question.clips.targets)]
    for name, cells in counted.items():
        columns += cells
        header += [f"{name}: {row.word}" for row in rows[: len(cells)]]
    table = np.array([cells.sum(axis=0) for cells in columns]).T.tolist()
    lines = [Line([tag, *map(str, cells)]) for tag, cells in zip(question.tags, table, strict=True)]
    of = "the test clips" if question.winner.study.has_fixed_split else "the clip's fold"
    intro = f"Of {count(len(question.clips.names), 'held-out clip')}, each tag at the threshold of {of}."
    return Part("Mistakes by tag", "overview", [intro], [Table("Mistakes by tag", header, lines)])


def _confusions(question: Question) -> Part:
    """Which tags are taken for which by the winner."""
    found = find_confusions(question.rows[0].scored, CONFUSIONS)
    intro = [
        "Tags that are more frequent among the winner's mistakes than among comparable clips: false alarms are "
        "compared with clips where the tag was rightly rejected, misses with clips where it was found. The largest "
        "surplus of clips comes first. It says where to listen, and is no test."
    ]
    if not found:
        return Part("Taken for each other", "confusions", [*intro, "Here no tag stands out."])
    header = ["mistake", "tag present", "with the mistake", "otherwise", "times"]
    lines = [Line(_confusion_cells(question, one)) for one in found]
    return Part("Taken for each other", "confusions", intro, [Table("Taken for each other", header, lines, left=2)])


def _confusion_cells(question: Question, found: Confusion) -> list[str]:
    there, elsewhere = (
        f"{part} of {whole} ({100 * part / whole:.0f} %)"
        for part, whole in ((found.there, found.mistakes), (found.elsewhere, found.others))
    )
    times = "only then" if found.ratio is None else f"{found.ratio:.1f}" if found.ratio < 10 else f"{found.ratio:.0f}"
    return [f"{question.tags[found.tag]} {found.kind}", question.tags[found.other], there, elsewhere, times]
