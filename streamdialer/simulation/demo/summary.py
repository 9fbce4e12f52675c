"""The result of a demo: one document for programs, a few lines for people."""

from __future__ import annotations

from typing import Literal

import msgspec

from streamdialer.simulation.demo.contact_audit import ContactAudit
from streamdialer.simulation.demo.options import DemoOptions
from streamdialer.simulation.demo.reaction_time import ReactionTimes
from streamdialer.simulation.world.auditor import Audit
from streamdialer.simulation.world.engine import World

Ending = Literal["all contacts final", "time over", "interrupted", "nothing moved"]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Rates are shares from 0 to 1; `_s` are seconds of the wall clock, `_life_s` simulated ones."""

    ended: Ending
    mode: str
    campaigns: int
    contacts: int
    agents: int
    speed: float
    seed: int
    duration_s: float
    """From the start of the campaigns to the end of dialing."""
    duration_life_s: float
    calls_placed: int
    retries: int
    """Calls placed to contacts that had been called before."""
    answered: int
    """By a person."""
    connected: int
    abandoned: int
    abandon_rate: float
    """Abandoned over answered."""
    machines: int
    no_answer: int
    busy: int
    failed: int
    agent_utilisation: float
    """Talk and wrap-up over logged-in time."""
    talk_share: float
    reaction_ms_median: float | None
    """From an agent becoming free to the next call placed, wall clock; only while contacts were ready."""
    reaction_ms_p95: float | None
    reaction_samples: int
    replicas_killed: int
    contacts_by_status: dict[str, int]
    """As the backend shows them."""
    contacts_final: int
    contacts_not_loaded: int
    contacts_in_ledger: dict[str, int]
    """Contacts that are not final, by state in the ledger."""
    uncertain: int
    """Attempts marked as sent whose request never reached the Dialer API: a replica was killed in between.
    The dialer cannot know that, so it does not call their contacts again before their deadline. They are part of
    `contacts_in_ledger`."""
    dead_letters: int
    double_dials: int
    dialed_after_final: int
    over_max_retries: int
    lost: int
    lost_contacts: list[str]
    """The first of them, a sentence each."""
    findings: list[str]
    """The first faults that the simulated telephone network saw, a sentence each."""
    problems: list[str]
    """Processes that ended in another way than they should."""
    logs: str | None
    """The directory with the logs of the processes; kept only when something went wrong."""

    @property
    def is_good(self) -> bool:
        """No person was called twice at once, and no contact was lost."""
        return self.double_dials == 0 and self.lost == 0


def summarise(
    options: DemoOptions,
    world: World,
    *,
    ended: Ending,
    at_start: Audit,
    at_end: Audit,
    final: Audit,
    contact_audit: ContactAudit,
    duration_s: float,
    reaction: ReactionTimes,
    replicas_killed: int,
    uncertain: int,
    dead_letters: int,
    problems: list[str],
) -> Summary:
    """The audits are of the start of the campaigns, the end of dialing, and after all processes had ended."""
    total = final.total
    # The agents were logged in before anything could be dialed: that time does not count as idle.
    logged_in_s = _logged_in_s(at_end) - _logged_in_s(at_start)
    talk_s = sum(agent.talk_s for agent in at_end.agents.values())
    wrap_up_s = sum(agent.wrap_up_s for agent in at_end.agents.values())
    return Summary(
        ended=ended,
        mode=options.mode,
        campaigns=options.campaigns,
        contacts=options.contacts,
        agents=options.agents,
        speed=options.speed,
        seed=options.seed,
        duration_s=round(duration_s, 2),
        duration_life_s=round(duration_s * options.speed, 1),
        calls_placed=total.originates,
        retries=sum(calls - 1 for calls in world.auditor.per_contact.values()),
        answered=total.answered_by_person,
        connected=total.connected,
        abandoned=total.abandoned,
        abandon_rate=round(total.abandon_rate, 4),
        machines=total.machine,
        no_answer=total.no_answer,
        busy=total.busy,
        failed=total.failed,
        agent_utilisation=round((talk_s + wrap_up_s) / logged_in_s, 4) if logged_in_s else 0.0,
        talk_share=round(talk_s / logged_in_s, 4) if logged_in_s else 0.0,
        reaction_ms_median=reaction.percentile_ms(0.5),
        reaction_ms_p95=reaction.percentile_ms(0.95),
        reaction_samples=len(reaction.ms),
        replicas_killed=replicas_killed,
        contacts_by_status=dict(sorted(final.contacts.items())),
        contacts_final=contact_audit.final,
        contacts_not_loaded=contact_audit.not_loaded,
        contacts_in_ledger=dict(contact_audit.in_ledger),
        uncertain=uncertain,
        dead_letters=dead_letters,
        double_dials=final.double_dials,
        dialed_after_final=final.dialed_after_final,
        over_max_retries=final.over_max_retries,
        lost=len(contact_audit.lost),
        lost_contacts=contact_audit.lost[:20],
        findings=final.findings,
        problems=problems,
        logs=None,
    )


def _logged_in_s(audit: Audit) -> float:
    return sum(agent.logged_in_s for agent in audit.agents.values())


def describe(summary: Summary) -> list[tuple[str, str]]:
    """The summary as label and text, without most lines that would only say 0."""
    life_min = summary.duration_life_s / 60
    open_contacts = {**summary.contacts_in_ledger, "not loaded": summary.contacts_not_loaded}
    reaction = "not measured"
    if summary.reaction_ms_median is not None:
        reaction = (
            f"median {summary.reaction_ms_median:g} ms, 95th percentile {summary.reaction_ms_p95:g} ms "
            f"({summary.reaction_samples} times)"
        )
    rows = [
        ("Ended", summary.ended),
        ("Duration", f"{summary.duration_s:.1f} s, {life_min:.0f} minutes of life"),
        ("Calls placed", f"{summary.calls_placed:,}, {summary.retries:,} of them retries"),
        ("Answered", f"{summary.answered:,} by people, {summary.machines:,} by machines"),
        ("Abandoned", f"{summary.abandoned:,} ({summary.abandon_rate:.1%} of the people)"),
        ("Agents", f"{summary.agent_utilisation:.0%} utilised, {summary.talk_share:.0%} talking"),
        ("Reaction time", reaction),
        ("Contacts", _listed(summary.contacts_by_status)),
        ("Not final", _listed(open_contacts)),
        ("Uncertain", _number(summary.uncertain)),
        ("Replicas killed", _number(summary.replicas_killed)),
        ("Dead letters", _number(summary.dead_letters)),
        ("Dialed after the end", _number(summary.dialed_after_final)),
        ("Too many attempts", _number(summary.over_max_retries)),
        ("Double dials", str(summary.double_dials)),
        ("Contacts lost", str(summary.lost)),
    ]
    rows += [("", line) for line in (*summary.findings[:5], *summary.lost_contacts[:5], *summary.problems)]
    if summary.logs:
        rows.append(("Logs", summary.logs))
    return [(label, text) for label, text in rows if text]


def _number(number: int) -> str:
    return str(number) if number else ""


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in numbers.items() if number)
