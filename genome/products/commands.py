"""The verb about products: relations."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from genome.console import AsJson, report


def relations(
    product: Annotated[str, typer.Argument(help="product_id, as in the products feed.")],
    as_json: AsJson = False,
) -> None:
    """Show what goes with a product, what could stand in for it, and what would be a step up."""
    from genome.api.published import Published
    from genome.products import relations as library
    from genome.settings import load

    settings = load()
    catalogue = Published(settings).catalogue()
    found = library.one(library.read(settings, catalogue), catalogue, product)

    def human(console: Console) -> None:
        console.print(f"{found.label} ({product})", style="bold", markup=False)
        if not found.relations:
            console.print("  too few baskets speak of it, or it is related to nothing", markup=False)
            return
        table = Table("", "product", "support", "confidence", "lift", "at least", "price step")
        for each in found.relations:
            table.add_row(
                each.relation,
                f"{each.other_label} ({each.other_product_id})",
                f"{each.support_count:,}",
                f"{each.confidence:.1%}",
                f"{each.lift:.1f}",
                f"{each.lift_low:.1f}",
                "–" if each.price_step is None else f"× {each.price_step:.2f}",
            )
        console.print(table)

    report(found, as_json=as_json, human=human)
