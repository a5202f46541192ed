"""Networks: a file each, features in, probabilities out.

A network is a class that is named like its file, without underscores. Its `__init__(self, n_columns, n_tags, *, ...)`
takes the columns F of the features and the number of tags K; the keyword-only arguments, with literal defaults, are its
hyperparameters. `audiotag.config` reads them from the source, and these class attributes, all of which may be left out:

front_end: a `LogMel(...)`, from which the features come; the paper's default where there is none. A network whose
    hyperparameter `imd` is True gets it with `imd=True`.
training_defaults: a dict of the training's own hyperparameters whose defaults differ for this network.
mixing_layers: a tuple of names of its modules, after which manifold mixup may mix; each is called once per forward
    pass, for a tensor whose first axis is the batch. Without it there is no manifold mixup.
quick: a dict, a budget of minutes for the synthetic corpus.

What training and scoring ask of it; x is standardised (`build.standardise`), shapes in `audiotag.models.segments`:

forward(x): features (B, T, F) of clips, or of segments of clips, to probabilities (B, K).
segments: how clips are cut for training, a `Segmentation`; without it whole clips are trained on. Then also
    score(x): features of whole clips (N, T, F) to probabilities (N, K).
frame_curves(x): features of whole clips to curves over time (N, T', K) in [0, 1]; without it there are no curves.
pretraining: a `Pretraining`, epochs without tags that come first. Then also
    pretraining_loss(x): features of segments (B, L, F) to the mean loss over them.
"""
