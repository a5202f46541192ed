"""The keys of what a trial reports while it runs, beside the figures of an epoch."""

METRIC = "eer_mean"  # what Optuna minimises: the mean over finished folds and tags
FAILED = "failed"  # the key in a last report that says why a trial has no result
HALTED = "halted"  # the key in a last report that says why the whole study cannot go on
SAID = "said"  # the key in any report that holds warnings for the user
