"""Django: start and pause a campaign, see its numbers, and take a number off all lists.

Try it: REDIS_URL=redis://127.0.0.1:6379/0 python examples/django_view.py runserver 8010
In a project of your own, take the views, and add your own log-in and permissions.
"""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST
from redis import Redis

from streamdialer import SyncProducer

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        REDIS_URL=os.environ["REDIS_URL"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="only for this example",
    )

redis = Redis.from_url(settings.REDIS_URL, decode_responses=True)


@require_POST
def set_status(request: HttpRequest, campaign: int, status: str) -> JsonResponse:
    """`active` starts the campaign within a tick, `paused` stops new calls at once."""
    if status not in ("active", "paused"):
        return JsonResponse({"error": "status takes active or paused"}, status=400)
    redis.hset(f"campaign:{campaign}", "status", status)
    return JsonResponse({"status": status})


@require_GET
def numbers(request: HttpRequest, campaign: int) -> JsonResponse:
    """What the dialer knows of the campaign now."""
    return JsonResponse(redis.hgetall(f"campaign:{campaign}"))


@require_POST
def opt_out(request: HttpRequest) -> JsonResponse:
    """No campaign calls the number any more."""
    with SyncProducer.from_url(settings.REDIS_URL) as producer:
        producer.event(
            "do_not_call", phone_number=request.POST["phone_number"], reason="asked on the web site"
        )
    return JsonResponse({"status": "noted"}, status=202)


urlpatterns = [
    path("campaigns/<int:campaign>/", numbers),
    path("campaigns/<int:campaign>/<slug:status>/", set_status),
    path("opt-out/", opt_out),
]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
