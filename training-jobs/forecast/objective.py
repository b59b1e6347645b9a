"""What a sweep makes small: sMAPE on the last training hours, which the trial's model has not seen."""

from collections.abc import Callable

from model import MIDDLE, Forecaster
from network import fit
from plan import TrainParams
from scores import smape
from series import learning_series
from windows import check_held_out, shortened, tails, windows

from trainkit.params import as_section
from trainkit.sweep import Params, Report


def objective(params: Params, report: Report) -> float:
    chosen, series = as_section(params, "train", TrainParams), learning_series()
    check_held_out(chosen.held_out, series)
    history, followed = windows(tails(series, chosen.held_out), chosen.held_out)

    def _judged(epoch: int, _: float, so_far: Callable[[], Forecaster]) -> None:
        report(epoch, _error(so_far()))

    def _error(model: Forecaster) -> float:
        return float(smape(followed, model.quantiles(history)[:, MIDDLE]).mean())

    return _error(fit(*windows(shortened(series, chosen.held_out), chosen.stride), chosen, _judged))
