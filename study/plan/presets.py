"""How long a fold is trained at most, where the paper's settings are not the thing to use."""

from typing import Any

from audiotag.config import DEFAULTS

# Enough to learn the synthetic corpus on two cores within minutes: more and larger steps in fewer epochs than the
# paper's. Where training cuts a clip into 22 blocks or 44, an epoch has as many times more steps
SYNTHETIC: dict[str, dict[str, Any]] = {
    "crnn": {"max_epochs": 4, "patience": 4, "batch_size": 22, "learning_rate": 2e-3},
    "dae_dnn": {"max_epochs": 3, "patience": 3, "pretrain_epochs": 3},
    "cgrnn": {"max_epochs": 2, "patience": 2},
    "att_loc": {"max_epochs": 5, "patience": 5, "batch_size": 22, "learning_rate": 2e-3},
}


def budgets(
    models: set[str], synthetic: bool, epochs: int | None, precision: str | None = None
) -> dict[str, dict[str, Any]]:
    """What a study sets of each of its models' hyperparameters: a short budget on the synthetic corpus, `--epochs`
    and `--precision`.

    `epochs` bounds the stage without tags, too.
    """
    found = {model: dict(SYNTHETIC[model]) if synthetic else {} for model in sorted(models)}
    for model, values in found.items():
        if precision is not None:
            values["precision"] = precision
        if epochs is not None:
            values["max_epochs"] = epochs
            if (most := values.get("pretrain_epochs", DEFAULTS[model].get("pretrain_epochs"))) is not None:
                values["pretrain_epochs"] = min(most, epochs)
    return found
