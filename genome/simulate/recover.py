"""Are the planted effects there? Each is estimated from the truth and put beside the number that was planted.

Estimates use potential outcomes and exposures, never the planted numbers, and come with a standard error.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from genome.simulate.behaviour import felt_by
from genome.simulate.calendar import CHRISTMAS, HOUR, Calendar, calendar
from genome.simulate.parameters import Parameters
from genome.simulate.randomness import Floats
from genome.simulate.run import Mall, world_of
from genome.simulate.truth import Truth
from genome.simulate.world import GROCER, SELLER_IDS


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
        """Standard errors between the two; of what is counted without error, 0 or infinite."""
        if not self.error:
            return 0.0 if self.recovered == self.planted else float("inf")
        return abs(self.recovered - self.planted) / self.error

    @property
    def is_recovered(self) -> bool:
        """Within four standard errors: with two dozen effects, chance alone hardly goes further."""
        return self.distance < 4


def recover(out: Path) -> list[Effect]:
    """Every planted effect of a mall, estimated."""
    mall = Mall.read(out)
    parameters = Parameters.model_validate(mall.parameters)
    truth = Truth(out)
    return [
        *_moved(truth, parameters),
        *_put_off(truth, parameters),
        *_experiments(truth),
        *_fatigue(truth, parameters),
        *_churn(truth, parameters),
        *_links(truth, parameters),
        *_stockouts(truth, parameters),
        *_seasons(truth, parameters),
        *_people(truth, parameters),
        *_cards(truth, parameters),
        *_assortment(parameters, mall.seed),
        *_outage(out, parameters),
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
    words = (("stockout_substitute", "substituted"), ("stockout_postpone", "postponed"))
    effects = [
        _share(name, parameters, int(pc.sum(pc.equal(reaction, word)).as_py() or 0), len(reaction))
        for name, word in words
    ]
    motives = truth.read("motives", ["channel", "motive"])
    asked = pc.and_(pc.equal(motives["channel"], "service"), pc.equal(motives["motive"], "out_of_stock"))
    count = int(pc.sum(asked).as_py() or 0)
    return [*effects, _share("stockout_asks", parameters, count, len(reaction))]


def _seasons(truth: Truth, parameters: Parameters) -> list[Effect]:
    """How often people came on some days, beside what they would have done on plain ones.

    Without the grocer, to whom some go so often that chances of a day do not rise as their rates do.
    """
    days = calendar(parameters)
    table = (
        truth.read("trips")
        .group_by(["day", "seller_id"])
        .aggregate([(name, "sum") for name in ("plain_trips", "plain_trips_squared", "trips")])
    )
    sums = np.zeros((3, days.days, len(SELLER_IDS)))
    place = (table["day"].to_numpy(), pc.index_in(table["seller_id"], pa.array(SELLER_IDS)).to_numpy())
    for row, name in enumerate(("plain_trips", "plain_trips_squared", "trips")):
        sums[row][place] = table[f"{name}_sum"].to_numpy()
    sums[:, :, GROCER] = 0

    to_christmas = np.array([(date(each.year, *CHRISTMAS) - each).days for each in days.dates[: days.days]])
    promotion, weekend = days.is_promotion[: days.days] == 1, days.weekday[: days.days] >= 5
    plain = ~promotion & ((to_christmas < 0) | (to_christmas > 21))
    kinds = (
        (parameters.behaviour, "weekend_lift", weekend & plain),
        (parameters.behaviour, "christmas_lift", ~weekend & (to_christmas > 0) & (to_christmas <= 7)),
        (parameters.world, "promotion_lift", ~weekend & promotion),
    )
    return [_lift(group, name, days, sums, which) for group, name, which in kinds if which.any()]


def _lift(group: Any, name: str, days: Calendar, sums: Floats, which: Floats) -> Effect:
    """The factor under which as many trips were to be expected as were made, on some days.

    A person comes at most once a day: of a rate r the chance is r − r²/2, to the second order.
    """
    chosen = np.flatnonzero(which)
    felt = np.stack([felt_by(days, int(day)) for day in chosen])
    plain, squared, trips = sums[:, chosen]
    lift, made = 1.0, float(trips.sum())
    slope = 1.0
    for _ in range(50):
        factor = 1 + (lift - 1) * felt
        slope = float((felt * (plain - factor * squared)).sum())
        step = (made - float((factor * plain - factor**2 * squared / 2).sum())) / slope
        lift += step
        if abs(step) < 1e-9:
            break
    return _effect(group, name, lift, float(np.sqrt(made)) / slope, int(made))


def _people(truth: Truth, parameters: Parameters) -> list[Effect]:
    """What people are, as often as planted: consents, who is away, phones handed on, mistyped addresses."""
    group = parameters.people
    people = truth.read(
        "people", ["refused_seller", "changes_consent", "consents_email", "consents_sharing", "away_from_day"]
    )
    known = truth.read("identifiers", ["identifier_type", "relation"])

    def count(kind: str, relation: str) -> int:
        both = pc.and_(pc.equal(known["identifier_type"], kind), pc.equal(known["relation"], relation))
        return int(pc.sum(both).as_py() or 0)

    def share(name: str, mask: Any) -> Effect:
        return _binomial(group, name, int(pc.sum(mask).as_py() or 0), len(people))

    return [
        share("consent_email", people["consents_email"]),
        share("consent_sharing", people["consents_sharing"]),
        share("consent_seller_override", pc.is_valid(people["refused_seller"])),
        share("consent_change", people["changes_consent"]),
        share("away_share", pc.less(people["away_from_day"], parameters.run.days)),
        _binomial(group, "handed_on_share", count("device", "handed_on"), count("device", "own")),
        _binomial(group, "mistyped_share", count("email", "mistyped"), count("email", "own")),
    ]


def _cards(truth: Truth, parameters: Parameters) -> list[Effect]:
    """Points for money, and the money from which a tier holds: between the last below it and the first in it."""
    group = parameters.behaviour
    cards = truth.read("cards")
    spent, within, receipts, points = _columns(cards, "spent", "spent_in_period", "receipts", "points_earned")
    # Each receipt loses a part of a point: as much as a second column says.
    design = np.stack([within, receipts], axis=1)
    value, squares, _, _ = np.linalg.lstsq(design, points, rcond=None)
    spread = float(squares[0]) / max(1, len(points) - 2) if len(squares) else 0.0
    error = float(np.sqrt(spread * np.linalg.inv(design.T @ design)[0, 0]))
    effects = [_effect(group, "points_per_unit", float(value[0]), error, int(receipts.sum()))]
    for name, below, above in (("tier_silver", "basic", "silver"), ("tier_gold", "silver", "gold")):
        low = spent[pc.equal(cards["tier"], below).to_numpy(zero_copy_only=False)]
        high = spent[pc.equal(cards["tier"], above).to_numpy(zero_copy_only=False)]
        if len(low) and len(high):
            middle, half = (low.max() + high.min()) / 2, (high.min() - low.max()) / 2
            effects.append(_effect(group, name, float(middle), float(half), len(low) + len(high)))
    return effects


def _assortment(parameters: Parameters, seed: int) -> list[Effect]:
    """Launches and retirements; the best seller of a category is neither."""
    world = world_of(parameters, seed)
    movable = np.ones(world.products, dtype=bool)
    movable[[world.products_of(category).start for category in range(world.categories)]] = False
    launched = int((world.launched_day[movable] >= 0).sum())
    retired = int((world.retired_day[movable] <= parameters.run.days).sum())
    group = parameters.world
    return [
        _binomial(group, "launched_share", launched, int(movable.sum())),
        _binomial(group, "retired_share", retired, int(movable.sum())),
    ]


def _outage(out: Path, parameters: Parameters) -> list[Effect]:
    """Days of which nothing at all had come in the night after, though things had been booked."""
    group, days = parameters.channels, calendar(parameters)
    paths = sorted((out / "inbox" / "loyalty").glob("points-*.csv"))
    if group.outage_channel != "loyalty" or not paths:
        return []
    options = pyarrow.csv.ConvertOptions(include_columns=["booked_at", "received_at"])
    rows = pa.concat_tables([pyarrow.csv.read_csv(path, convert_options=options) for path in paths])
    booked, received = (
        rows[name].cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_numpy() for name in rows.column_names
    )
    day = np.clip(days.day_of(booked), 0, days.days - 1)
    # The account is closed at midnight; what is there an hour later was on time.
    in_time = np.bincount(day, weights=received <= days.midnight[day + 1] + HOUR, minlength=days.days)
    late = (np.bincount(day, minlength=days.days) > 0) & (in_time == 0)
    return [_effect(group, "outage_days", float(late.sum()), 0.0, len(rows))]


def _share(name: str, parameters: Parameters, did: int, could: int) -> Effect:
    return _binomial(parameters.response, name, did, could)


def _binomial(group: Any, name: str, did: int, could: int) -> Effect:
    share = did / max(1, could)
    error = float(np.sqrt(max(share * (1 - share), 1e-12) / max(1, could)))
    return _effect(group, name, share, error, could)


def _effect(group: Any, name: str, recovered: float, error: float, evidence: int) -> Effect:
    """An effect whose planted number and meaning are those of a parameter."""
    meaning = type(group).model_fields[name].description or ""
    return Effect(name, meaning, float(getattr(group, name)), recovered, error, evidence)


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
