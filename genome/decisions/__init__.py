"""What to offer next, or silence: pure functions from frozen inputs to a typed result.

    eligibility (may it appear?) → arbitration (which, or silence?) → explanation (why, in plain words)

Nothing here reads a file, a clock or a store: `genome/api/service.py` brings the inputs, so a decision can be
made again from its log.
"""
