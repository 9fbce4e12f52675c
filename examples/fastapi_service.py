"""FastAPI: a telephone system's webhook becomes events, and a page asks for a call decision and its result.

Try it: REDIS_URL=redis://127.0.0.1:6379/0 uvicorn --app-dir examples fastapi_service:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

from streamdialer import Producer, StreamdialerError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One producer for the whole process."""
    async with Producer.from_url(os.environ["REDIS_URL"]) as producer:
        app.state.producer = producer
        yield


app = FastAPI(lifespan=lifespan)


class Hook(BaseModel):
    """What this telephone system posts."""

    state: Literal["ringing", "answered", "ended", "failed"]
    campaign: int
    contact: int
    call: str
    agent: str | None = None
    seconds: float | None = None
    cause: str | None = None


TYPES = {
    "ringing": "call_ringing",
    "answered": "call_answered",
    "ended": "call_completed",
    "failed": "call_failed",
}


@app.post("/hooks/calls", status_code=204)
async def call_changed(hook: Hook, request: Request) -> None:
    """503 when Redis is away: the telephone system posts again, and an event may come twice."""
    fields: dict[str, Any] = {
        "campaign_id": hook.campaign,
        "contact_id": hook.contact,
        "call_id": hook.call,
        "agent_id": hook.agent,
        "duration": hook.seconds,
        "cause": hook.cause,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        await request.app.state.producer.event(TYPES[hook.state], **given)
    except StreamdialerError as error:
        raise HTTPException(503, str(error)) from error


@app.post("/campaigns/{campaign}/dial")
async def dial(campaign: int, request: Request) -> dict[str, Any]:
    """One tick now, and what it did; 504 when no replica answers in time."""
    producer: Producer = request.app.state.producer
    result = await producer.result(await producer.tick("dial", campaign_id=campaign), timeout=5)
    if result is None:
        raise HTTPException(504, "no replica has run the tick: does `streamdialer consume` run?")
    return {"status": result.status, "reason": result.reason, "dialed": result.dialed}
