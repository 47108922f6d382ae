"""Every number of the mall, typed, with its meaning. TOML files override the defaults; presets are such."""

import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genome.errors import UsageError

PRESETS = Path(__file__).parent / "presets"


class Group(BaseModel):
    """A group of parameters: unknown names are refused, values never change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Run(Group):
    """How much is made, and in which pieces."""

    customers: int = Field(2000, ge=20, description="people in the mall")
    days: int = Field(60, ge=14, le=400, description="days of history")
    end: date = Field(
        date(2025, 1, 1), description="the day after the last one; its local midnight is the cut-off"
    )
    timezone: str = Field("America/New_York", description="the mall's own clock")
    block: int = Field(
        1000, ge=20, description="people made at once: bounds the memory; part of what a seed means"
    )
    workers: int = Field(2, ge=1, le=64, description="processes; never changes the bytes")
    live_days: int = Field(
        0, ge=0, description="last days of web, app and location kept for a collector, not in files"
    )

    @property
    def start(self) -> date:
        """The first day."""
        return self.end - timedelta(days=self.days)


class World(Group):
    """What stands in the mall."""

    malls: int = Field(2, ge=1, le=40, description="malls; each seller has one store in each")
    products: int = Field(800, ge=120, description="products of all sellers together")
    launched_share: float = Field(0.05, ge=0, le=0.5, description="products launched within the period")
    retired_share: float = Field(0.03, ge=0, le=0.5, description="products retired within the period")
    stockout_rate: float = Field(
        0.0015, ge=0, le=0.1, description="chance that a store runs out of a product on a day"
    )
    stockout_days: float = Field(3.0, gt=0, description="mean length of a stock-out (geometric)")
    shelf_discount_share: float = Field(0.10, ge=0, le=1, description="product-weeks on a shelf discount")
    promotion_month: int = Field(11, ge=1, le=12, description="month of the day of promotion")
    promotion_day: int = Field(29, ge=1, le=28 + 3, description="its day of the month")
    promotion_lift: float = Field(2.2, ge=1, description="trips on the day of promotion, times usual")
    promotion_discount: float = Field(
        0.20, ge=0, le=0.8, description="shelf discount of every product on that day"
    )


class People(Group):
    """Who they are, by what they are known, and what they agreed to."""

    taste_sd: float = Field(0.9, ge=0, description="spread of a person's log taste for categories")
    household_taste: float = Field(
        0.5, ge=0, le=1, description="share of the taste's variance that a household shares"
    )
    brand_sd: float = Field(0.8, ge=0, description="spread of log taste for brands")
    tier_sd: float = Field(0.5, ge=0, description="spread of log taste for the price tier (per tier step)")
    drifting_share: float = Field(
        0.30, ge=0, le=1, description="people whose tastes drift through the period"
    )
    drift_sd: float = Field(1.0, ge=0, description="spread of the whole drift of a log taste over the period")
    jump_share: float = Field(0.05, ge=0, le=1, description="people whose tastes jump in one week")
    away_share: float = Field(0.20, ge=0, le=1, description="people who are away from home once")
    card_share: float = Field(0.78, ge=0, le=1, description="people with a loyalty card")
    account_share: float = Field(0.60, ge=0, le=1, description="people with a shop account (user_id)")
    app_share: float = Field(0.45, ge=0, le=1, description="people with the app (account needed)")
    email_share: float = Field(0.92, ge=0, le=1, description="people whose e-mail is known")
    phone_share: float = Field(0.80, ge=0, le=1, description="people whose phone number is known")
    social_share: float = Field(
        0.20, ge=0, le=1, description="people with a social handle that speaks of the mall"
    )
    shared_tablet_share: float = Field(
        0.20, ge=0, le=1, description="households of two or more with a shared tablet"
    )
    shared_token_share: float = Field(
        0.15, ge=0, le=1, description="households of two or more that pay with one card"
    )
    handed_on_share: float = Field(
        0.02, ge=0, le=1, description="phones handed on to another person, of all phones"
    )
    mistyped_share: float = Field(
        0.03, ge=0, le=1, description="people who mistype their e-mail in surveys and service"
    )
    mistyped_hit_share: float = Field(
        0.10, ge=0, le=1, description="of the mistyped, those that hit somebody else's address"
    )
    consent_email: float = Field(0.72, ge=0, le=1, description="consent to marketing by e-mail at the start")
    consent_sms_push: float = Field(0.45, ge=0, le=1, description="the same for SMS and push")
    consent_direct_mail: float = Field(0.80, ge=0, le=1, description="the same for letters")
    consent_location: float = Field(0.55, ge=0, le=1, description="beacons, of people with the app")
    consent_profiling: float = Field(0.85, ge=0, le=1, description="consent to profiling")
    consent_sharing: float = Field(0.35, ge=0, le=1, description="one seller's data may serve another")
    consent_seller_override: float = Field(
        0.10, ge=0, le=1, description="people who refuse one seller in particular"
    )
    consent_change: float = Field(
        0.06, ge=0, le=1, description="people who change a consent in the period by themselves"
    )


class Behaviour(Group):
    """When people come, what they look at, how much they take."""

    grocer_trips: float = Field(0.042, gt=0, description="median of a person's grocery trips a day")
    trips_sd: float = Field(0.90, ge=0, description="spread of the log rate between people")
    again_share: float = Field(
        0.14, ge=0, le=1, description="grocery trips with a second one on the same day"
    )
    other_trips: float = Field(0.007, gt=0, description="median trips a day to each of the other sellers")
    basket_mean: float = Field(1.72, description="mean of the log size of a grocery basket")
    basket_sd: float = Field(1.12, gt=0, description="its spread within a person")
    basket_person_sd: float = Field(0.45, ge=0, description="its spread between people")
    other_basket_mean: float = Field(0.35, description="mean of the log size of other sellers' baskets")
    category_sd: float = Field(1.05, ge=0, description="spread of the log popularity of categories")
    weekend_lift: float = Field(1.22, ge=1, description="trips on Saturday and Sunday, times a weekday's")
    christmas_lift: float = Field(
        1.5, ge=1, description="trips in the last week before Christmas, times usual"
    )
    sessions: float = Field(0.055, gt=0, description="median of a person's online sessions a day")
    views: float = Field(2.4, gt=0, description="products viewed in a session, beyond the first")
    add_rate: float = Field(0.16, ge=0, le=1, description="views that end in the cart")
    checkout_rate: float = Field(0.42, ge=0, le=1, description="carts that are bought")
    walk_through: float = Field(0.30, ge=0, description="visits without a purchase, for each visit with one")
    card_shown: float = Field(0.88, ge=0, le=1, description="trips on which a card holder shows the card")
    till_account: float = Field(
        0.03, ge=0, le=1, description="trips without a card booked on the till's house account"
    )
    cash: float = Field(0.15, ge=0, le=1, description="trips paid in cash: no payment token")
    points_per_unit: float = Field(
        1.0, ge=0, description="points of a card for each unit of money spent with it"
    )
    tier_silver: float = Field(400.0, gt=0, description="money spent from which a card is silver")
    tier_gold: float = Field(1200.0, gt=0, description="money spent from which a card is gold")
    return_rate: float = Field(
        0.03, ge=0, le=1, description="lines brought back (a tenth of it at the grocer's)"
    )


class Response(Group):
    """The response model: docs/simulator.md puts these into formulas."""

    holdout_share: float = Field(0.10, ge=0, le=1, description="universal hold-out: never contacted")
    control_share: float = Field(0.20, ge=0, le=1, description="of an audience, those held back at random")
    audience_base: float = Field(
        0.16, gt=0, le=1, description="chance of being in a campaign's audience at mean match"
    )
    audience_match: float = Field(0.6, description="how strongly a good match draws people into the audience")
    move_email: float = Field(-3.5, description="log odds of being moved, e-mail, at zero match and discount")
    move_sms_push: float = Field(-3.2, description="the same for SMS and push")
    move_direct_mail: float = Field(-3.9, description="the same for letters of type B and C")
    move_type_a: float = Field(2.2, description="added for campaigns of type A")
    move_match: float = Field(0.5, description="for each standard deviation of match")
    move_discount: float = Field(3.0, description="for each unit of discount times price sensitivity")
    move_fatigue: float = Field(-0.25, description="for each contact of excess fatigue")
    off_base: float = Field(
        -3.2, description="log odds of being put off: what one wanted anyway is not bought"
    )
    off_fatigue: float = Field(0.35, description="for each contact of excess fatigue")
    redeem: float = Field(0.45, ge=0, le=1, description="buyers under an offer who redeem its coupon")
    fatigue_half_life: float = Field(7.0, gt=0, description="days in which the memory of a contact halves")
    fatigue_tolerance: float = Field(1.4, ge=0, description="mean of the contacts one bears without harm")
    fatigue_trips: float = Field(0.22, ge=0, description="log trips lost for each contact of excess fatigue")
    pressure_low: float = Field(0.4, ge=0, description="audiences of the low-pressure arm, times usual")
    pressure_high: float = Field(2.2, ge=0, description="audiences of the high-pressure arm, times usual")
    unsubscribe_base: float = Field(0.002, ge=0, le=1, description="chance to unsubscribe at a contact")
    unsubscribe_fatigue: float = Field(
        0.5, ge=0, description="log of its growth for each contact of excess fatigue"
    )
    complaint_base: float = Field(0.0003, ge=0, le=1, description="chance of a complaint on a day")
    complaint_fatigue: float = Field(
        0.6, ge=0, description="log of its growth for each contact of excess fatigue"
    )
    churn_base: float = Field(0.0006, ge=0, description="hazard a day of leaving a seller for good")
    churn_up_sell: float = Field(
        0.012, ge=0, description="added a day for each remembered up-sell, of cross-brand buyers"
    )
    churn_half_life: float = Field(14.0, gt=0, description="days in which the memory of an up-sell halves")
    cross_brand_share: float = Field(0.35, ge=0, le=1, description="people who buy across brands")
    up_sell_share: float = Field(0.35, ge=0, le=1, description="offers that are up-sells")
    online_to_store: float = Field(
        0.06, ge=0, le=1, description="viewed, not bought online: bought in the store soon"
    )
    online_to_store_days: int = Field(3, ge=1, description="within so many days")
    store_to_online: float = Field(
        0.10, ge=0, le=1, description="trips that lead to a session on the same category"
    )
    stockout_substitute: float = Field(
        0.55, ge=0, le=1, description="out of stock: another product of the category"
    )
    stockout_postpone: float = Field(
        0.20, ge=0, le=1, description="out of stock: come back for it (the rest: lost)"
    )
    stockout_asks: float = Field(
        0.03, ge=0, le=1, description="out of stock: somebody writes to the service desk"
    )
    click_match: float = Field(0.6, description="clicks: log odds for each standard deviation of match")


class Channels(Group):
    """What goes wrong between a person and the lake."""

    outage_channel: str = Field(
        "loyalty", description="a source that fails and delivers everything afterwards"
    )
    outage_start: int = Field(12, ge=1, description="days before the end on which it fails")
    outage_days: int = Field(2, ge=0, description="days for which it fails")
    duplicates: float = Field(0.01, ge=0, le=0.5, description="rows of web, app and location sent twice")
    broken: float = Field(
        0.002,
        ge=0,
        le=0.5,
        description="rows of SMS and push, surveys and social that come without a readable time",
    )
    beacon_loss: float = Field(0.12, ge=0, le=1, description="pings that never arrive")
    beacon_jitter: float = Field(4.0, ge=0, description="spread of a ping's time, seconds")
    skewed_clocks: float = Field(
        0.03, ge=0, le=1, description="devices whose clock is wrong by hours or days"
    )
    late_share: float = Field(
        0.02, ge=0, le=1, description="online rows that arrive hours late (offline phones)"
    )


class Parameters(Group):
    """The whole parameter file."""

    run: Run = Run()
    world: World = World()
    people: People = People()
    behaviour: Behaviour = Behaviour()
    response: Response = Response()
    channels: Channels = Channels()

    @model_validator(mode="after")
    def _shares(self) -> "Parameters":
        if self.response.stockout_substitute + self.response.stockout_postpone > 1:
            raise ValueError("response.stockout_substitute and stockout_postpone add up to more than 1")
        if self.behaviour.tier_silver >= self.behaviour.tier_gold:
            raise ValueError("behaviour.tier_silver is not below tier_gold")
        return self


Preset = Literal["small", "demo", "large"]


def load(source: Path | str = "small", **run: object) -> Parameters:
    """Read a preset by name or a TOML file; `run` overrides its [run] table.

    Raises:
        UsageError: the file is missing, is no TOML, or holds a wrong name or value.
    """
    path = PRESETS / f"{source}.toml" if str(source) in names() else Path(source)
    if not path.is_file():
        raise UsageError(f"There is no preset or file '{source}'.", f"Presets are {', '.join(names())}.")
    try:
        values = tomllib.loads(path.read_text())
        values["run"] = values.get("run", {}) | {
            name: value for name, value in run.items() if value is not None
        }
        return Parameters.model_validate(values)
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise UsageError(
            f"{path.name}: {error}", "Mend the value, or leave it out for its default."
        ) from error


def names() -> list[str]:
    """The presets that ship with the project."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))
