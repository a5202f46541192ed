"""Audio tagging with sample mixing: corpora, features, networks, training and the metric. Arrays and tensors."""
