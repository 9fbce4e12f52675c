"""A backend of your own: the five requests that the dialer sends, over a list in memory.

Try it: python examples/own_backend.py 8000, then BACKEND_URL=http://127.0.0.1:8000 streamdialer doctor
"""

import json
import re
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

CAMPAIGNS: dict[int, dict[str, Any]] = {
    1: {"queue_name": "sales", "dial_mode": "progressive", "retry_delay": 60, "country": "CO"},
}
QUEUES: dict[str, list[dict[str, Any]]] = {
    "sales": [{"id": "1001", "status": "available"}, {"id": "1002", "status": "available"}],
}
CONTACTS: dict[int, dict[str, Any]] = {
    number: {
        "id": number,
        "campaign_id": 1,
        "phone_number": f"30012345{number:02d}",
        "status": "pending",
        "priority": 5,
        "attempts": 0,
        "last_attempt": None,
    }
    for number in range(1, 21)
}
STATISTICS: dict[int, Any] = {}


def contacts(query: dict[str, str]) -> dict[str, Any]:
    """A page of the contacts that the query asks for, the most urgent first."""
    wanted = set(query["status"].split(",")) if "status" in query else None
    before = datetime.fromisoformat(query["last_attempt__lt"]) if "last_attempt__lt" in query else None

    def is_asked(contact: dict[str, Any]) -> bool:
        last = contact["last_attempt"] and datetime.fromisoformat(contact["last_attempt"])
        return (
            str(contact["campaign_id"]) == query.get("campaign_id", str(contact["campaign_id"]))
            and (wanted is None or contact["status"] in wanted)
            and contact["attempts"] < int(query.get("attempts__lt", sys.maxsize))
            and (before is None or (last or datetime.min.replace(tzinfo=UTC)) < before)
        )

    rows = sorted(filter(is_asked, CONTACTS.values()), key=lambda row: (-row["priority"], row["id"]))
    offset, limit = int(query.get("offset", 0)), int(query.get("limit", 100))
    following = f"/api/contacts/?{urlencode(query | {'offset': str(offset + limit)})}"
    return {
        "count": len(rows),
        "next": following if offset + limit < len(rows) else None,
        "results": rows[offset : offset + limit],
    }


class Handler(BaseHTTPRequestHandler):
    """Routes by method and path; a path that is not known answers 404."""

    def answer(self, document: Any) -> None:
        body = json.dumps(document if document is not None else {"detail": "Not found."}).encode()
        self.send_response(200 if document is not None else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if found := re.fullmatch(r"/api/campaigns/(\d+)/", url.path):
            self.answer(CAMPAIGNS.get(int(found[1])))
        elif found := re.fullmatch(r"/api/queues/([^/]+)/agents/", url.path):
            self.answer(QUEUES.get(unquote(found[1])))
        elif found := re.fullmatch(r"/api/contacts/(\d+)/", url.path):
            self.answer(CONTACTS.get(int(found[1])))
        else:
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            self.answer(contacts(query) if url.path == "/api/contacts/" else None)

    def do_PATCH(self) -> None:
        change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = re.fullmatch(r"/api/contacts/(\d+)/", self.path)
        contact = CONTACTS.get(int(found[1])) if found else None
        if contact is not None:
            contact |= change
        self.answer(contact)

    def do_POST(self) -> None:
        found = re.fullmatch(r"/api/campaigns/(\d+)/update_stats/", self.path)
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if found:
            STATISTICS[int(found[1])] = document
        self.answer({"status": "ok"} if found else None)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
