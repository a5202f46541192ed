"""What a plan's trials train on: features, variants and waveforms of the clips, computed or from the cache."""

from pathlib import Path

from rich.console import Console

from audiotag.augment.variants import load_variants, variant_settings
from audiotag.cli import progress_bar
from audiotag.features.load import load_features
from audiotag.features.store import cache_bytes
from audiotag.features.waves import load_waves
from study.cli import from_here
from study.plan.asked_corpus import cache_folder, follow
from study.plan.front_ends import front_ends, used_configs
from study.plan.plan import Plan
from study.plan.variants import varied_configs
from study.tuning.features import StudyFeatures


def compute_features(plan: Plan, cache: Path | None, console: Console) -> StudyFeatures:
    """The features and variants of clips for each trial that there may be, from the cache or computed now."""
    cache, known = cache_folder(cache), (plan.scan, plan.study.settings, plan.study.left_out)
    needed, varied = front_ends(*known), varied_configs(*known)
    found = StudyFeatures({})
    with progress_bar(console) as bar:
        for number, front_end in enumerate(needed, start=1):
            progress = follow(bar, f"computing features ({number} of {len(needed)})")
            found.clips[front_end] = load_features(plan.corpus, front_end, cache, progress)
        for number, config in enumerate(varied, start=1):
            if (settings := variant_settings(config)) is not None:
                names = "+".join(config.waveform_parts)
                progress = follow(bar, f"computing variants by {names} ({number} of {len(varied)})")
                found.variants[settings] = load_variants(plan.corpus, config, cache, progress)
        mixing = {config.front_end for config in used_configs(*known) if config.mixes_waveforms}
        for front_end in sorted(mixing, key=repr):
            found.waves[front_end] = load_waves(plan.corpus, front_end, cache, follow(bar, "reading waveforms"))
    megabytes = cache_bytes(cache) / 1e6
    console.print(f"Features {megabytes:.0f} MB in {from_here(cache)} (may be deleted)", soft_wrap=True)
    return found
