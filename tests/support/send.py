"""Sends events with a real tracking client and prints how each scenario ended, as one JSON line.

argv: client, host, count, scenarios as JSON {name: write key}, options as JSON.
"""

import json
import sys
import threading
import time
from typing import Any


def make(client: str, key: str, host: str, errors: list[str], options: dict[str, Any]) -> Any:
    """A client that notes what it gives up."""
    if client == "segment":
        from segment.analytics.client import Client
    else:
        from rudderstack.analytics.client import Client
    return Client(
        key,
        host=host,
        on_error=lambda error, items: errors.append(f"{error}: {len(items)}"),
        gzip=options["gzip"],
        timeout=2,
        max_retries=options["retries"],
        upload_size=20,
        upload_interval=0.1,
    )


def send(
    client: str, key: str, host: str, count: int, options: dict[str, Any], found: dict[str, Any]
) -> None:
    """Send and wait until everything is delivered or given up."""
    errors: list[str] = []
    made = make(client, key, host, errors, options)
    for number in range(count):
        words = {
            "user_id": f"user-{number % 5}",
            "event": "Product Viewed",
            "properties": {"product_id": f"p{number}", "price": 9.5, "name": "Blåhaj 🦈"},
            "context": {"traits": {"email": f"someone{number % 5}@example.com"}},
        }
        made.track(**words)
        if options.get("pause"):
            time.sleep(options["pause"])
    made.flush()
    made.shutdown()
    found["errors"] = len(errors)


def main() -> None:
    """Run every scenario at once."""
    client, host, count, keys, given = sys.argv[1:]
    options = json.loads(given)
    found: dict[str, Any] = {name: {"name": name} for name in json.loads(keys)}
    threads = [
        threading.Thread(target=send, args=(client, key, host, int(count), options, found[name]))
        for name, key in json.loads(keys).items()
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
