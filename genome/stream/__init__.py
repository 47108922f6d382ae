"""The live path: what reads the event stream that the collector writes.

consumer.py   the base of every reader: owns partitions, reads, verifies, retries, parks, reports
lease.py      who owns which partition
parked.py     messages that could not be taken, encrypted, and how they are taken later
figures.py    how far each reader is: lag, rate, parked
trim.py       what nobody needs any more leaves the stream
land.py       into the lake, exactly once
live.py       into the online genome: sums by gene as deltas over the last build, and sessions
moments.py    events that match a rule (genome/rules) onto the moments queue
items.py      what those two read out of a record; evidence.py, epoch.py, landed.py are live's parts
"""
