"""What people write: short texts put together from parts, each with the motive it was written for."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genome.simulate.randomness import Ints

OPENINGS = (
    "Hello,", "Hi there,", "Good evening.", "To whom it may concern:", "Hey team,", "Dear customer service,",
    "I am writing again.", "Just a note:",
)  # fmt: skip
CLOSINGS = (
    "Please get back to me.", "Thank you.", "What can you do about this?", "Regards",
    "I look forward to your answer.", "Please fix it.", "That is all.", "Let me know.",
)  # fmt: skip
# motive -> sentences; {} is the product's category.
MOTIVES: dict[str, tuple[str, ...]] = {
    "too_many_messages": (
        "You write to me nearly every day and it is too much.",
        "I get far too many promotions from you, on every channel.",
        "Please stop sending me offers all the time.",
        "Another message from you today, the fourth this week.",
    ),
    "out_of_stock": (
        "I came for {} twice and the shelf was empty both times.",
        "Your {} are sold out again, why is that?",
        "Is {} ever going to be back in stock?",
    ),
    "quality": (
        "The {} I bought broke after a week.",
        "The {} does not look at all like the picture.",
        "I am disappointed with the quality of your {}.",
    ),
    "price": (
        "Your {} costs much more here than elsewhere.",
        "The price of {} at the till was not the one on the shelf.",
        "You raised the price of {} again.",
    ),
    "delivery": (
        "My order has still not arrived.",
        "The parcel with the {} came three days late.",
        "The courier left my order in the rain.",
    ),
    "pushed_to_dearer": (
        "Every time I look at {} you try to sell me a dearer one.",
        "I wanted a simple {} and was talked into the premium one.",
        "Stop suggesting the most expensive {} to me.",
    ),
    "praise": (
        "The {} is excellent, just what I needed.",
        "Very happy with my {}, great service too.",
        "Best {} I have had, I will be back.",
    ),
    "average": (
        "The {} is all right for the price.",
        "Decent {}, nothing special.",
    ),
}  # fmt: skip
MOTIVE_NAMES = list(MOTIVES)
ANSWERS = (
    "We are sorry to hear that. We have looked into it and will make it right.",
    "Thank you for telling us. We have passed this on to the store.",
    "We understand. We have changed your settings accordingly.",
    "Thank you for your message. A refund is on its way.",
)


def sentences(motive: Ints, category: pa.Array, random: np.random.Generator) -> pa.Array:
    """One sentence for each motive, about a category."""
    flat = [sentence for each in MOTIVES.values() for sentence in each]
    sizes = np.array([len(each) for each in MOTIVES.values()])
    start = np.cumsum(sizes) - sizes
    number = start[motive] + np.floor(random.random(len(motive)) * sizes[motive]).astype(np.int64)
    parts = [sentence.partition("{}") for sentence in flat]
    has_gap = np.array(["{}" in sentence for sentence in flat])[number]
    words = pc.if_else(pa.array(has_gap), pc.replace_substring(category, "_", " "), "")
    before, after = (pa.array([part[place] for part in parts]).take(pa.array(number)) for place in (0, 2))
    return pc.binary_join_element_wise(before, words, after, "")


def letters(motive: Ints, category: pa.Array, random: np.random.Generator) -> pa.Array:
    """An opening, a sentence, a closing."""
    count = len(motive)
    opening = pa.array(OPENINGS).take(pa.array(random.integers(0, len(OPENINGS), count)))
    closing = pa.array(CLOSINGS).take(pa.array(random.integers(0, len(CLOSINGS), count)))
    return pc.binary_join_element_wise(opening, sentences(motive, category, random), closing, " ")
