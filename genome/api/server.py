"""How the app is served: one process, JSON log lines on standard error, no personal data in them."""

import logging
import sys
from typing import TYPE_CHECKING

from genome.settings import Settings

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI


def server(settings: Settings, app: "FastAPI") -> "uvicorn.Server":
    """The HTTP server of an app, ready to `run()`."""
    import uvicorn

    made = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.api_port,
            loop="uvloop",
            http="httptools",
            access_log=False,
            server_header=False,
            log_level=settings.log_level.lower(),
            timeout_keep_alive=65,  # longer than the usual balancer's, so that it is the one that closes
            timeout_graceful_shutdown=10,
        )
    )
    # Our own line names the route's template; uvicorn's would name the customer. `access_log=False` only
    # takes its handlers away, which another library may give back.
    logging.getLogger("uvicorn.access").disabled = True
    return made


def configure_logging(settings: Settings) -> None:
    """Set up structlog for a process that serves."""
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
