"""Location: one row for each door that a device passed, as beacons and Wi-Fi saw it."""

from genome.channels.contract import (
    Column,
    Connector,
    Field,
    Interaction,
    Key,
    Kind,
    Properties,
)

CONNECTOR = Connector(
    name="location",
    title="Mall location",
    description=(
        "Entries and exits of the mall and of its stores. A lost signal leaves an entry without an exit; one "
        "that was sent again has the same id. Times are by the device's clock."
    ),
    source_id="location_pings",
    stream="pings",
    columns=(
        Field("ping_id", Kind.ID, "The signal; one that was sent again has the same."),
        Field(
            "event",
            Kind.TEXT,
            "What happened.",
            one_of=("Mall Entered", "Store Entered", "Store Exited", "Mall Exited"),
        ),
        Field("occurred_at", Kind.TIMESTAMP, "When, by the device's clock."),
        Field("device_id", Kind.ID, "The installation of the app.", required=False),
        Field("wifi_hash", Kind.ID, "The hash of a device that the Wi-Fi saw.", required=False),
        Field("beacon_id", Kind.ID, "The beacon or the antenna.", required=False),
        Field("store_id", Kind.ID, "The store; empty at the doors of the mall.", required=False),
        Field("dwell_seconds", Kind.INTEGER, "Of an exit: time spent inside.", required=False, minimum=0),
        Field("seller_id", Kind.ID, "Whose store it is.", required=False),
    ),
    key=("ping_id",),
    becomes=Interaction(
        interaction_type=Column("event"),
        occurred_at=Column("occurred_at"),
        seller_id=Column("seller_id"),
        customer_key_type="device",
        customer_key=Column("device_id"),
        further_keys=(Key("wifi", Column("wifi_hash")),),
        store_id=Column("store_id"),
        properties=Properties(("beacon_id", "dwell_seconds")),
    ),
)
