"""The collector as a service of its own."""

from genome.settings import Settings


def serve(settings: Settings, *, workers: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT; requests that have begun are finished, what waits is written."""
    import os

    import uvicorn

    from genome.stores import valkey

    # Before there are workers: they would all want to start it at once, and only the first may fail aloud.
    valkey.ensure(settings, "events")
    os.environ.update(settings.environment())
    uvicorn.run(
        "genome.collector.app:from_environment",
        factory=True,
        host=settings.host,
        port=settings.collector_port,
        workers=workers or settings.collector_workers,
        loop="uvloop",
        http="httptools",
        interface="asgi3",
        access_log=False,  # a query may hold a write key, a path may hold anything
        server_header=False,
        date_header=True,
        log_level=settings.log_level.lower(),
        timeout_keep_alive=65,  # longer than the usual balancer's, so that it is the one that closes
        timeout_graceful_shutdown=8,
        backlog=2048,
    )
