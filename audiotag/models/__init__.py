"""The systems of Table 1, one file each: features in, probabilities out.

What training asks of one: `forward`, features (B, L, F) of what a batch consists of to probabilities (B, K). Where that
is not the whole clip, also `framing` (how clips are cut into blocks for training) and `score`, features of whole clips
(N, T, F) to (N, K). Where there is a stage without tags, `unsupervised` and `unsupervised_loss`.
"""
