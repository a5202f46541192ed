"""Disposable copies of the ledger: MLflow and optuna.db."""
