"""Are the planted effects there? Each is estimated from the truth and put beside the number that was planted.

Estimates use potential outcomes and exposures, never the planted numbers, and come with a standard error.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genome.simulate.parameters import Parameters
from genome.simulate.randomness import Floats
from genome.simulate.run import Mall
from genome.simulate.truth import Truth


@dataclass(frozen=True)
class Effect:
    """One planted number and what the truth gives back."""

    name: str
    meaning: str
    planted: float
    recovered: float
    error: float
    """Standard error of `recovered`."""
    evidence: int
    """Cases behind it."""

    @property
    def distance(self) -> float:
        """Standard errors between the two."""
        return abs(self.recovered - self.planted) / self.error if self.error else float("inf")

    @property
    def is_recovered(self) -> bool:
        """Within four standard errors: with two dozen effects, chance alone hardly goes further."""
        return self.distance < 4


def recover(out: Path) -> list[Effect]:
    """Every planted effect of a mall, estimated."""
    parameters = Parameters.model_validate(Mall.read(out).parameters)
    truth = Truth(out)
    return [
        *_moved(truth, parameters),
        *_put_off(truth, parameters),
        *_experiments(truth),
        *_fatigue(truth, parameters),
        *_churn(truth, parameters),
        *_links(truth, parameters),
        *_stockouts(truth, parameters),
    ]


def _columns(table: pa.Table, *names: str) -> list[Floats]:
    return [table[name].to_numpy().astype(np.float64) for name in names]


def _moved(truth: Truth, parameters: Parameters) -> list[Effect]:
    response = parameters.response
    planted = {
        "move_email": response.move_email,
        "move_sms_push": response.move_sms_push,
        "move_direct_mail": response.move_direct_mail,
        "move_type_a": response.move_type_a,
        "move_match": response.move_match,
        "move_discount": response.move_discount,
        "move_fatigue": response.move_fatigue,
    }
    designs, outcomes = [], []
    numbers = ["match", "discount", "price_sensitivity", "excess_fatigue", "bought_with"]
    for part in truth.parts("contacts", ["channel", "campaign_type", "is_able", "bought_without", *numbers]):
        able = pc.and_(pc.and_(part["is_able"], pc.invert(part["bought_without"])), _real(part))
        rows = part.filter(able)
        match, discount, sensitivity, fatigue, moved = _columns(rows, *numbers)
        channels = [
            pc.equal(rows["channel"], name).to_numpy().astype(float)
            for name in ("email", "sms_push", "direct_mail")
        ]
        type_a = pc.equal(rows["campaign_type"], "Type A").to_numpy().astype(float)
        designs.append(np.stack([*channels, type_a, match, discount * sensitivity, fatigue], axis=1))
        outcomes.append(moved)
    value, error = logistic_regression(np.concatenate(designs), np.concatenate(outcomes))
    return _effects(planted, value, error, parameters.response, sum(map(len, outcomes)))


def _put_off(truth: Truth, parameters: Parameters) -> list[Effect]:
    planted = {"off_base": parameters.response.off_base, "off_fatigue": parameters.response.off_fatigue}
    designs, outcomes = [], []
    for part in truth.parts("contacts", ["channel", "excess_fatigue", "bought_without", "bought_with"]):
        rows = part.filter(pc.and_(part["bought_without"], _real(part)))
        fatigue, bought = _columns(rows, "excess_fatigue", "bought_with")
        designs.append(np.stack([np.ones(len(rows)), fatigue], axis=1))
        outcomes.append(1 - bought)
    value, error = logistic_regression(np.concatenate(designs), np.concatenate(outcomes))
    return _effects(planted, value, error, parameters.response, sum(map(len, outcomes)))


def _real(table: pa.Table) -> pa.ChunkedArray:
    return pc.not_equal(table["channel"], "banner")


def _experiments(truth: Truth) -> list[Effect]:
    """What an honest experiment on the observed outcomes finds, beside the potential outcomes' own mean."""
    names = ["channel", "is_sent", "is_held_out", "is_bought", "bought_with", "bought_without"]
    table = truth.read("contacts", names)
    result = []
    for channel, meaning in (
        ("email", "purchases added by each mail: randomised comparison against the truth"),
        ("sms_push", "purchases added by each text or push"),
        ("direct_mail", "purchases added by each letter"),
        ("banner", "purchases added by each banner: planted is nothing at all"),
    ):
        rows = table.filter(pc.equal(table["channel"], channel))
        if channel != "banner":
            rows = rows.filter(pc.invert(rows["is_held_out"]))
        sent, bought, with_contact, without = _columns(
            rows, "is_sent", "is_bought", "bought_with", "bought_without"
        )
        if not 0 < sent.sum() < len(sent):
            continue
        planted = 0.0 if channel == "banner" else float((with_contact - without).mean())
        treated, control = bought[sent == 1], bought[sent == 0]
        error = float(np.sqrt(treated.var() / len(treated) + control.var() / len(control)))
        result.append(
            Effect(
                f"lift_{channel}", meaning, planted, float(treated.mean() - control.mean()), error, len(sent)
            )
        )
    return result


def _summed(truth: Truth, table: str, *names: str) -> list[Floats]:
    whole = truth.read(table).group_by("bin").aggregate([(name, "sum") for name in names])
    return _columns(whole, *(f"{name}_sum" for name in names))


def _fatigue(truth: Truth, parameters: Parameters) -> list[Effect]:
    response = parameters.response
    days, excess, usual, trips, complaints = _summed(
        truth, "fatigue", "person_days", "excess", "usual_trips", "trips", "complaints"
    )
    seen = (days > 0) & (usual > 0)
    mean = excess[seen] / days[seen]
    slope, slope_error = poisson_regression(mean[:, None], trips[seen], np.log(usual[seen]))
    both = np.stack([np.ones(seen.sum()), mean], axis=1)
    upset, upset_error = poisson_regression(both, complaints[seen], np.log(days[seen]))
    effects = _effects(
        {"fatigue_trips": response.fatigue_trips}, -slope, slope_error, response, int(trips.sum())
    )
    return effects + _effects(
        {"complaint_fatigue": response.complaint_fatigue},
        upset[1:],
        upset_error[1:],
        response,
        int(complaints.sum()),
    )


def _churn(truth: Truth, parameters: Parameters) -> list[Effect]:
    """An additive hazard: leavings = base × days + harm × remembered up-sells, over bins of memory."""
    response = parameters.response
    days, memory, left = _summed(truth, "memory_cross_brand", "days_at_risk", "up_sells", "left")
    value, error = additive_rates(np.stack([days, memory], axis=1), left)
    effects = _effects(
        {"churn_base": response.churn_base, "churn_up_sell": response.churn_up_sell},
        value,
        error,
        response,
        int(left.sum()),
    )
    days, memory, left = _summed(truth, "memory_loyal", "days_at_risk", "up_sells", "left")
    value, error = additive_rates(np.stack([days, memory], axis=1), left)
    loyal = "hazard a day added by each remembered up-sell, of everybody else: planted is nothing"
    effects.append(
        Effect("churn_up_sell_loyal", loyal, 0.0, float(value[1]), float(error[1]), int(left.sum()))
    )
    return effects


def _links(truth: Truth, parameters: Parameters) -> list[Effect]:
    table = truth.read("links")
    result = []
    for name in ("online_to_store", "store_to_online"):
        rows = table.filter(pc.equal(table["effect"], name))
        could, did = (int(pc.sum(rows[column]).as_py()) for column in ("could", "did"))
        result.append(_share(name, parameters, did, could))
    return result


def _stockouts(truth: Truth, parameters: Parameters) -> list[Effect]:
    reaction = truth.read("stockouts", ["reaction"])["reaction"]
    return [
        _share(name, parameters, int(pc.sum(pc.equal(reaction, word)).as_py() or 0), len(reaction))
        for name, word in (("stockout_substitute", "substituted"), ("stockout_postpone", "postponed"))
    ]


def _share(name: str, parameters: Parameters, did: int, could: int) -> Effect:
    share = did / max(1, could)
    error = float(np.sqrt(max(share * (1 - share), 1e-12) / max(1, could)))
    field = type(parameters.response).model_fields[name]
    return Effect(name, field.description or "", getattr(parameters.response, name), share, error, could)


def _effects(
    planted: dict[str, float], value: Floats, error: Floats, response: object, evidence: int
) -> list[Effect]:
    fields = type(response).model_fields  # type: ignore[attr-defined]
    return [
        Effect(name, fields[name].description or "", number, float(value[row]), float(error[row]), evidence)
        for row, (name, number) in enumerate(planted.items())
    ]


def logistic_regression(design: Floats, outcome: Floats, steps: int = 30) -> tuple[Floats, Floats]:
    """Maximum likelihood by Newton's method: coefficients and their standard errors."""
    beta = np.zeros(design.shape[1])
    information = np.eye(design.shape[1])
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-design @ beta))
        information = design.T @ (design * (chance * (1 - chance))[:, None])
        step = np.linalg.solve(information + 1e-9 * np.eye(len(beta)), design.T @ (outcome - chance))
        beta = beta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    return beta, np.sqrt(np.diag(np.linalg.pinv(information)))


def poisson_regression(
    design: Floats, count: Floats, offset: Floats, steps: int = 50
) -> tuple[Floats, Floats]:
    """log E(count) = offset + design · β."""
    beta = np.zeros(design.shape[1])
    if np.allclose(design[:, 0], 1):
        beta[0] = np.log(max(count.sum(), 0.5)) - np.log(np.exp(offset).sum())
    information = np.eye(design.shape[1])
    for _ in range(steps):
        expected = np.exp(offset + design @ beta)
        information = design.T @ (design * expected[:, None])
        step = np.linalg.solve(information + 1e-9 * np.eye(len(beta)), design.T @ (count - expected))
        beta = beta + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    return beta, np.sqrt(np.diag(np.linalg.pinv(information)))


def additive_rates(exposure: Floats, count: Floats, steps: int = 200) -> tuple[Floats, Floats]:
    """E(count) = exposure · β: weighted least squares, weights renewed until nothing moves."""
    used = exposure[:, 0] > 0
    exposure, count = exposure[used], count[used]
    expected = np.maximum(exposure[:, 0] * count.sum() / exposure[:, 0].sum(), 1e-9)
    beta = np.zeros(exposure.shape[1])
    information = np.eye(exposure.shape[1])
    for _ in range(steps):
        information = exposure.T @ (exposure / expected[:, None])
        new = np.linalg.pinv(information) @ (exposure.T @ (count / expected))
        expected = np.maximum(exposure @ new, 1e-3 * exposure[:, 0] * count.sum() / exposure[:, 0].sum())
        if np.abs(new - beta).max() < 1e-12:
            break
        beta = new
    return beta, np.sqrt(np.diag(np.linalg.pinv(information)))
