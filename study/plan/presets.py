"""Hyperparameters that a study sets for each of its networks, where the paper's are not the ones to use."""

from typing import Any

from audiotag.config import Value, network
from audiotag.declarations.networks import Network
from audiotag.declarations.own_code import OwnCode
from audiotag.models.backend import fastest_convolution
from study.plan.preflight import trains_on_own_cpu
from study.plan.request import Request


def preset_settings(
    models: set[str], quick: bool, request: Request, code: OwnCode | None = None
) -> dict[str, dict[str, Any]]:
    """Set, by network, the short budget (`quick`), `--epochs`, `--precision`, and the convolution."""
    return {model: _of_network(network(model, code), quick, request) for model in sorted(models)}


def _of_network(declared: Network, quick: bool, request: Request) -> dict[str, Value]:
    values = dict(declared.quick) if quick else {}
    if request.precision is not None:
        values["precision"] = request.precision
    if "convolution" in declared.parameters and (chosen := _choose_convolution(request)) != "direct":
        values["convolution"] = chosen
    if request.epochs is not None:
        values["max_epochs"] = request.epochs
        if (most := values.get("pretrain_epochs", declared.parameters.get("pretrain_epochs"))) is not None:
            values["pretrain_epochs"] = min(most, request.epochs)
    return values


def _choose_convolution(request: Request) -> str:
    """The fastest on this machine's CPU in fp32; "direct" on GPUs and on the unknown CPUs of a cluster."""
    if not trains_on_own_cpu(request) or request.precision == "bf16":
        return "direct"
    return fastest_convolution(request.cpus_per_trial or 1)
