"""The stores feed: one row for each version of a store."""

from genome.channels.contract import Column, Connector, Feed, Field, Kind

_HOUR = "([01]?[0-9]|2[0-4]):[0-5][0-9]"

CONNECTOR = Connector(
    name="stores",
    title="Stores",
    description="Where the stores are, whose they are, and when they are open; each version from its day on.",
    source_id="stores_feed",
    columns=(
        Field("store_id", Kind.ID, "The store."),
        Field("seller_id", Kind.ID, "Whose store it is.", required=False),
        Field("mall_id", Kind.ID, "The mall that it is in.", required=False),
        Field("name", Kind.TEXT, "What people call it.", required=False),
        Field("floor", Kind.INTEGER, "The floor, 0 on the ground.", required=False),
        Field("beacon_id", Kind.ID, "The beacon at its door.", required=False),
        Field("latitude", Kind.NUMBER, "Degrees north.", required=False, minimum=-90),
        Field("longitude", Kind.NUMBER, "Degrees east.", required=False, minimum=-180),
        Field("opens_at", Kind.TEXT, "When it opens, by the local clock.", required=False, pattern=_HOUR),
        Field("closes_at", Kind.TEXT, "When it closes, by the local clock.", required=False, pattern=_HOUR),
        Field("valid_from", Kind.TIMESTAMP, "From when on this holds."),
    ),
    key=("store_id", "valid_from"),
    becomes=Feed(assumed_known_at=Column("valid_from")),
)
