"""What it takes to get the same numbers again."""

from typing import Any

from study.ledger.ledger import Ledger
from study.ledger.provenance import provenance_changes
from study.reporting.section import Section, render
from study.stats.analysis import Analysis


def repeat_it(analysis: Analysis, ledger: Ledger) -> Section:
    """The study's command and its origin."""
    html = render("sections/repeat_it.html", command=analysis.study.command, origin=origin(analysis))
    return Section("Repeat it", html)


def origin(analysis: Analysis) -> dict[str, str]:
    """Data, seeds, settings and program."""
    study = analysis.study
    said: dict[str, Any] = {
        "corpus": study.corpus.path,
        "fingerprint": study.corpus.fingerprint,
        "seed": study.seed,
        "repeats": study.repeats if study.has_several_seeds else None,
        "protocol": study.protocol,
        "settings": "; ".join(f"{model}: {_settings(values)}" for model, values in study.settings.items()),
        "commit": study.git_commit,
        "versions": ", ".join(f"{name} {text}" for name, text in study.versions.items()),
        "went on with": "; then ".join(provenance_changes(study)),
        "space": f"{study.space}, file {study.space_fingerprint}",
    }
    return {name: str(value) for name, value in said.items() if value not in (None, "")}


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "the defaults"
