"""The driver of a study: Ray Tune, Optuna and MLflow around a ledger."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]  # the checkout: its data/, and the default mlflow.db
