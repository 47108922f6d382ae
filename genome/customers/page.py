"""The service agent's page about one customer: one HTML document, nothing loaded from elsewhere, no script.

Every value goes through `_text`; there is no template language that could read data as instructions, and the
headers forbid scripts altogether.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from html import escape
from importlib import resources

from genome.customers.helix import helix, lines
from genome.customers.history import Course
from genome.customers.population import Distribution, picture
from genome.customers.view import GeneView, GenomeView, LocusView, ago
from genome.decisions.records import ChosenOffer, Decision

SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
}
"""Headers of every page."""

_BAR = 200
_ROW = 18
_ARROWS = {"rising": "▲", "falling": "▼"}
_REASONS = {
    "unknown_customer": "Nobody of this id has scores.",
    "store_unavailable": "A store does not answer; try again soon.",
}


def customer_page(
    genome: GenomeView,
    offer: Decision,
    history: Sequence[Decision],
    now: datetime,
    course: Course | None = None,
) -> str:
    """The page about one customer.

    Args:
        genome: what is known.
        offer: what would be offered at the service desk now.
        history: recorded decisions, newest first.
        now: for ages.
        course: how the strongest genes went; left out where nothing of it is published.
    """
    stale = genome.age_hours > 48
    age = ago(timedelta(hours=genome.age_hours))
    body = f"""
<header class="who">
  <div>
    <p class="eyebrow">Customer genome</p>
    <h1>{_text(genome.customer_id)}</h1>
  </div>
  <p class="age{" old" if stale else ""}"><span>Data up to</span> {genome.as_of:%d %B %Y, %H:%M} UTC
  <small>({_text(age)}{", older than it should be" if stale else ""})</small></p>
</header>
<div class="columns">
  <section class="card"><h2>In words</h2>{_sentences(genome.in_words)}</section>
  <section class="card offers"><h2>Next best offers</h2>{_offers(offer, now)}</section>
</div>
<section class="card"><h2>The helix</h2>
<p class="hint">Each rung is a gene: its filled end stands for the choices of months, its open end for the last
weeks. A larger dot is a larger share of its locus, a ring marks what is singular, a faint rung rests on little
evidence.</p>
<div class="wide">{helix(genome.loci)}</div></section>
{_course(course)}
<section class="card"><h2>Most singular</h2>
<p class="hint">Chosen far more than by others; the number is a z-score, from 1.96 on it is hardly chance.</p>
{_singular(genome.distinctive)}</section>
<section class="card"><h2>The genome</h2>
<p class="hint"><span class="key character"></span> share over months
<span class="key now"></span> share in the last weeks
<span class="rising">▲</span> rising <span class="falling">▼</span> falling;
a faint name rests on little evidence.</p>
<div class="loci">{"".join(_locus(locus) for locus in genome.loci)}</div></section>
{_history(history, now)}
<footer>Publication {_text(genome.genome_epoch or "none")}. This page records no decision.</footer>"""
    return _document(f"{genome.customer_id} · Customer Genome", body)


def _course(course: Course | None) -> str:
    if course is None or not course.shares:
        return ""
    channels = ", ".join(f"{_text(name)} {share:.0%}" for name, share in course.channels.items())
    return f"""<section class="card"><h2>How it came about</h2>
<p class="hint">Share of the strongest {_text(course.locus_id.replace("_", " "))} genes as each month began, as known
today. Evidence by channel: {channels}.</p>
<div class="wide">{lines(course.months, course.shares)}</div></section>"""


def start_page() -> str:
    """Where to start: a search box, and links that need no key."""
    return _document(
        "Customer Genome",
        """
<header class="who"><div><p class="eyebrow">Customer genome</p><h1>Find a customer</h1></div></header>
<section class="card"><form action="/v1/customers" method="get" class="search">
<label for="identifier">Source key, for example household:1</label>
<div><input id="identifier" name="identifier" required maxlength="200" autocomplete="off" autofocus>
<button>Open</button></div></form>
<p class="hint">The browser asks for a password: the text of <code>secrets/agent.key</code>; the user name is
yours to choose.</p></section>
<section class="card"><h2>For programs</h2><ul class="plain">
<li><a href="/openapi.json">/openapi.json</a> every route</li>
<li><a href="/readyz">/readyz</a> whether it can serve, and what is stale</li>
<li><a href="/metrics">/metrics</a> figures for Prometheus</li></ul></section>""",
    )


def population_page(found: Distribution) -> str:
    """How one gene is distributed over customers, as a picture with its numbers."""
    share = "–" if found.mean_share is None else f"{found.mean_share:.1%}"
    said = [
        f"{found.showing:,} of {found.customers:,} customers show it ({found.showing / max(1, found.customers):.0%}).",
        f"Its mean share is {share}, over the {found.knowing:,} of whom anything of its kind is known.",
    ]
    if found.quantiles:
        told = ", ".join(f"{float(q):.0%} have at most {share:.1%}" for q, share in found.quantiles.items())
        said.append(f"Of those who show it: {told}.")
    return _document(
        f"{found.label} · Customer Genome",
        f"""
<header class="who"><div><p class="eyebrow">Population, {_text(f"{found.as_of:%Y-%m-%d}")}</p>
<h1>{_text(found.label)}</h1><p>{_text(found.gene_id)}</p></div></header>
<section class="card"><h2>Customers by their share of it</h2><div class="distribution">{picture(found)}</div>
<p class="shades"><span class="people">■</span> customers <span class="weight">■</span> their part of all confidence</p>
{_sentences(said)}</section>""",
    )


def not_found_page(customer_ids: Sequence[str]) -> str:
    """Nobody, or several to choose from."""
    what = _sentences(customer_ids or ["Nobody of that name is known."])
    return _document(
        "Customer Genome",
        f"""
<header class="who"><div><p class="eyebrow">Customer genome</p>
<h1>{"No such customer" if not customer_ids else "Which one?"}</h1></div></header>
<section class="card">{what}<p><a href="/">Search again</a></p></section>""",
    )


def _document(title: str, body: str) -> str:
    style = resources.files("genome.customers").joinpath("page.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title><style>{style}</style></head><body><main>{body}
</main></body></html>
"""


def _text(value: object) -> str:
    return escape(str(value), quote=True)


def _sentences(sentences: Iterable[str]) -> str:
    return '<ul class="plain">' + "".join(f"<li>{_text(each)}</li>" for each in sentences) + "</ul>"


def _offers(decision: Decision, now: datetime) -> str:
    if decision.silence is not None:
        said = _REASONS.get(decision.silence.reason, decision.silence.message)
        return f'<p class="silence"><strong>Say nothing.</strong> {_text(said)}</p>'
    return "<ol>" + "".join(_offer(offer, now) for offer in decision.offers) + "</ol>"


def _offer(offer: ChosenOffer, now: datetime) -> str:
    reasons = "".join(f"<li>{_text(reason)}</li>" for reason in offer.reasons)
    days = (offer.ends_at - now).days
    until = "ends today" if days < 1 else f"{days} more day{'s' if days > 1 else ''}"
    return f"""<li><h3>{_text(offer.label)}</h3>
<p class="facts">{_text(offer.kind.replace("_", " "))} · {_text(offer.offer_id)} ·
score {offer.score:.4g} · {_text(until)}</p><ul class="reasons">{reasons}</ul></li>"""


def _singular(genes: Sequence[GeneView]) -> str:
    if not genes:
        return "<p>Nothing stands out yet.</p>"
    return (
        '<ul class="chips">'
        + "".join(
            f"<li><small>{_text(gene.locus_id.replace('_', ' '))}</small>{_text(gene.label)}"
            f"<b>{gene.distinctiveness:.1f}</b>{_arrow(gene)}</li>"
            for gene in genes
        )
        + "</ul>"
    )


def _locus(locus: LocusView) -> str:
    """Horizontal bars, scaled to the strongest gene of the locus; the figure beside is the true share."""
    longest = max(max(gene.share_now or 0, gene.share_character or 0) for gene in locus.genes) or 1
    rows = "".join(
        f"<tr><th{_faint(gene)} scope=row title='{_text(gene.label)}'>{_text(gene.label)}</th>"
        f"<td>{_bar(gene, longest)}</td><td class=share>{_share(gene.share_character)}</td>"
        f"<td>{_arrow(gene)}</td></tr>"
        for gene in locus.genes
    )
    count = f"{locus.gene_count:,} genes" if locus.gene_count > len(locus.genes) else ""
    return f"<article><h3>{_text(locus.label)} <small>{count}</small></h3><table>{rows}</table></article>"


def _bar(gene: GeneView, longest: float) -> str:
    character = _BAR * (gene.share_character or 0) / longest
    now = _BAR * (gene.share_now or 0) / longest
    words = f"{_share(gene.share_character)} over months, {_share(gene.share_now)} in the last weeks"
    size = f'height="{_ROW}" rx="3"'
    return (
        f'<svg viewBox="0 0 {_BAR} {_ROW}" preserveAspectRatio="none" role="img" aria-label="{_text(words)}">'
        f'<rect class="track" width="{_BAR}" {size}/>'
        f'<rect class="character" width="{character:.1f}" {size}/>'
        f'<rect class="now" y="{_ROW - 6}" width="{now:.1f}" height="5" rx="2.5"/></svg>'
    )


def _share(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0%}" if value >= 0.0995 else f"{value:.1%}"


def _arrow(gene: GeneView) -> str:
    if gene.direction not in _ARROWS or gene.trend is None:
        return ""
    return (
        f'<span class="{gene.direction}" title="{gene.trend:+.1%} against character">'
        f"{_ARROWS[gene.direction]}</span>"
    )


def _faint(gene: GeneView) -> str:
    return ' class="faint"' if gene.confidence is not None and gene.confidence < 3 else ""


def _history(decisions: Sequence[Decision], now: datetime) -> str:
    if not decisions:
        return ""
    rows = "".join(
        f"<tr><td>{_text(ago(now - each.decided_at))}</td><td>{_text(each.placement)}</td>"
        f"<td>{_text('; '.join(offer.label for offer in each.offers) or 'silence')}</td></tr>"
        for each in decisions
    )
    return f"""<section class="card"><h2>Earlier decisions</h2><table class="history">
<tr><th>when</th><th>where</th><th>what</th></tr>{rows}</table></section>"""
