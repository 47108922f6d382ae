"""One settings object, passed in and never read at import.

Values come from, first wins: arguments, `GENOME_*` variables, `genome.toml` beside the process, `genome.toml`
in the home (an installation's own, such as the demo's clock), defaults.
"""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AwareDatetime, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from genome.errors import UsageError

OWN_FILE = "genome.toml"
PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Where things lie, which ports they answer on, and what time it is."""

    model_config = SettingsConfigDict(
        env_prefix="GENOME_", toml_file="genome.toml", extra="forbid", frozen=True
    )

    home: Path = Field(Path(".genome"), description="the one folder that holds everything a run writes")
    now: AwareDatetime | None = Field(
        None, description="sets the clock (ISO 8601 with an offset); unset: the system's"
    )
    business_timezone: str = Field(
        "UTC", description="the retailer's own clock, by which days begin (IANA name)"
    )
    threads: int = Field(2, ge=1, le=256, description="threads for the build, training and scoring")
    memory_limit: str = Field("3GB", description="DuckDB's memory limit, as DuckDB writes it")

    host: str = Field("127.0.0.1", description="the address services bind to")
    api_port: int = Field(8700, ge=1, le=65535, description="port of the HTTP API")
    airflow_port: int = Field(8701, ge=1, le=65535, description="port of Airflow's API and pages")
    mlflow_port: int = Field(8702, ge=1, le=65535, description="port of MLflow's pages")
    events_port: int = Field(
        8703, ge=1, le=65535, description="port of the embedded Valkey that keeps events"
    )
    online_port: int = Field(
        8704, ge=1, le=65535, description="port of the embedded Valkey that serves features"
    )
    collector_port: int = Field(
        8705, ge=1, le=65535, description="port of the collector where it is served alone"
    )

    collector_workers: int = Field(
        1, ge=1, le=64, description="processes of the collector where served alone"
    )
    collector_partitions: int = Field(
        8, ge=1, le=1024, description="partitions of the event stream; empty the stream before changing it"
    )
    collector_dedup_window: int = Field(
        1_000_000, ge=1_000, description="messages whose second delivery is recognised at the door"
    )
    collector_disk_reserve_mb: int = Field(
        256, ge=1, description="free disk space below which the collector answers 503"
    )
    collector_memory_mb: int = Field(
        2048, ge=16, description="memory of the events store above which the collector answers 503"
    )

    stream_land_count: int = Field(
        20_000, ge=1, le=200_000, description="events that land in the lake at once, at most"
    )
    stream_land_seconds: float = Field(
        5.0, ge=0.0, le=3600.0, description="how long events are gathered before they land"
    )
    stream_patience_hours: float = Field(
        24.0, ge=0.0, description="how long the stream waits for a consumer that is away"
    )

    lake_compact_mb: int = Field(
        128, ge=1, description="files of the lake smaller than this are put together, up to this size"
    )
    lake_compact_files: int = Field(
        8, ge=2, description="so many small files of one channel and month are worth putting together"
    )
    lake_grace_hours: float = Field(
        6.0, ge=0.0, description="how long a file that was replaced stays for those who have begun to read it"
    )
    lake_retention_days: int | None = Field(
        None, ge=1, description="interactions whose month ended longer ago leave the lake; unset: none"
    )

    events_url: SecretStr | None = Field(
        None, description="redis:// URL of an events store; unset: embedded Valkey"
    )
    online_url: SecretStr | None = Field(
        None, description="redis:// URL of an online store; unset: embedded Valkey"
    )
    airflow_database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL; unset: SQLite under home"
    )
    mlflow_database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL; unset: SQLite under home"
    )
    feast_registry_url: SecretStr | None = Field(None, description="SQLAlchemy URL; unset: SQLite under home")

    training_history_days: int = Field(
        35, ge=0, description="a campaign teaches when at least so many days of history lie before it"
    )
    training_validation_days: int = Field(
        60, ge=1, description="length of each rehearsal's window, walking back from the first test campaign"
    )
    training_test_days: int = Field(
        90,
        ge=0,
        description="campaigns that began within so many days before now are reported, decide nothing",
    )
    training_min_redemptions: int = Field(
        50, ge=1, description="a rehearsal learns from, and is judged by, at least so many redeemed offers"
    )

    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="what the logs keep")

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("business_timezone", mode="after")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(
                f"'{value}' is no IANA time zone; write a name such as 'America/New_York'"
            ) from error
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class asks for it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the two `genome.toml`."""
        beside = TomlConfigSettingsSource(settings_cls)
        home = next(
            (found["home"] for found in (init_settings(), env_settings(), beside()) if "home" in found),
            cls.model_fields["home"].default,
        )
        # The home's own file cannot say where the home is.
        own = TomlConfigSettingsSource(settings_cls, Path(home).expanduser() / OWN_FILE)
        return init_settings, env_settings, beside, own

    # Where things lie: every path of the state is made here and nowhere else.
    @property
    def inbox(self) -> Path:
        """Files dropped by sources: `inbox/<channel>/`."""
        return self.home / "inbox"

    @property
    def lake(self) -> Path:
        """Committed Parquet."""
        return self.home / "lake"

    @property
    def warehouse(self) -> Path:
        """The build's DuckDB file; it belongs to the build alone."""
        return self.home / "warehouse.duckdb"

    @property
    def valkey(self) -> Path:
        """Data of the embedded Valkey servers."""
        return self.home / "valkey"

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME."""
        return self.home / "airflow"

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artefacts."""
        return self.home / "mlflow"

    @property
    def feast(self) -> Path:
        """Feast's registry."""
        return self.home / "feast"

    @property
    def logs(self) -> Path:
        """Logs of the services and of dbt."""
        return self.home / "logs"

    @property
    def services(self) -> Path:
        """What `genome up` runs, and how the last run of each DAG went."""
        return self.home / "services"

    @property
    def identity_vault(self) -> Path:
        """The raw identifiers behind tokens, and what people wrote, encrypted, in a file of their own."""
        return self.home / "identity" / "vault.sqlite"

    @property
    def secrets(self) -> Path:
        """Keys and passwords made for this installation, readable by its owner only."""
        return self.home / "secrets"

    def environment(self) -> dict[str, str]:
        """These settings as `GENOME_*` variables, for a child process (secrets included: never log it)."""
        values: dict[str, str] = {}
        for name in type(self).model_fields:
            value: Any = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            elif isinstance(value, datetime):
                value = value.isoformat()
            values[f"GENOME_{name.upper()}"] = str(value)
        return values


def load(**overrides: Any) -> Settings:
    """Read the settings anew from their sources.

    Raises:
        UsageError: naming each setting that is wrong, its value and what it takes.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        wrong = "; ".join(
            f"setting '{'.'.join(str(part) for part in each['loc'])}' = {_shown(each)}: {each['msg']}"
            for each in error.errors(include_url=False)
        )
        raise UsageError(
            f"{wrong}.", "Set GENOME_<NAME> or mend genome.toml; `genome settings` explains each."
        ) from None


def _shown(error: Any) -> str:
    """The refused value, unless its field is secret."""
    field = Settings.model_fields.get(str(error["loc"][0])) if error["loc"] else None
    return "********" if field and "SecretStr" in str(field.annotation) else repr(error.get("input"))
