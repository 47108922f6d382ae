"""The verb that serves HTTP."""

from typing import Annotated

import typer


def api(
    port: Annotated[int | None, typer.Option(help="In place of the setting api_port.")] = None,
) -> None:
    """Serve decisions, features and customers over HTTP, until Ctrl-C or SIGTERM.

    Keys are made at the first start: `secrets/<scope>.key` under the state folder, one for each scope.
    """
    from genome.api.app import create_app
    from genome.api.server import configure_logging, server
    from genome.settings import load

    settings = load(**({} if port is None else {"api_port": port}))
    configure_logging(settings)
    serving = server(settings, create_app(settings))
    serving.run()
    if not serving.started:
        raise typer.Exit(1)  # uvicorn has said why
