"""Imports the dashboard into Grafana; importing it again replaces it.

GRAFANA_URL=http://127.0.0.1:3000 GRAFANA_TOKEN=… python examples/grafana_import.py
The token is one of a service account that may edit dashboards.
"""

import json
import os
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

dashboard = json.loads((Path(__file__).parents[1] / "deploy/grafana/streamdialer.json").read_text("utf-8"))
request = Request(
    f"{os.environ['GRAFANA_URL'].rstrip('/')}/api/dashboards/db",
    json.dumps({"dashboard": dashboard | {"id": None}, "overwrite": True}).encode(),
    {"Authorization": f"Bearer {os.environ['GRAFANA_TOKEN']}", "Content-Type": "application/json"},
)
try:
    with urlopen(request, timeout=10) as reply:
        print("imported:", json.load(reply)["url"])
except HTTPError as error:
    raise SystemExit(f"Grafana refuses it: {error.code} {error.read().decode()}") from error
