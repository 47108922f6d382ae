"""The event stream: what is acknowledged lies here, on disk.

Partitions (`Settings.collector_partitions`) keep the order of each source key. For each partition `p`:

    collector:{p}:events        stream: fields `r` (record), `c` (checksum); see genome/collector/record.py
    collector:{p}:quarantine    stream: fields `m` (why, whose, which: JSON), `x` (raw bytes, encrypted), `c`
    collector:{p}:ledger        hash: `<source>|<channel>|<outcome>` → count
    collector:{p}:seen:0, :1    hashes: digest of (source, message id) → digest of the message; the window
    collector:{p}:seen          which of the two is being filled

One script call for each partition does all of this at once: a message is stored, its id is remembered and the
ledger counts it, or none of it happened. So the ledger is exact after any kill, and a client's second try
after a lost answer is known. The braces keep a partition's keys in one slot of a cluster.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

PREFIX: Final = "collector"
OUTCOMES: Final = ("received", "accepted", "quarantined", "suppressed", "duplicate", "replayed")

SCRIPT: Final = """
-- KEYS: events, quarantine, ledger, seen:0, seen:1, seen (which one is being filled)
-- ARGV: size of one half of the window, then sections: kind, owner, count, and count times the kind's values.
--   a (accept):     id digest, body digest, checksum, record        q (quarantine): why, sealed bytes,
-- checksum   s (suppressed): nothing                                         r (replay): as a; counted as
-- replayed only Answer: the ordinals of the a and r items whose id is known with another body. They are not
-- stored and not counted:
-- the caller quarantines them with the next call.
local half = tonumber(ARGV[1])
local filling = redis.call('GET', KEYS[6]) or '0'
local current, former = KEYS[4], KEYS[5]
if filling == '1' then current, former = KEYS[5], KEYS[4] end
local has_former = redis.call('EXISTS', former) == 1
local conflicts, ordinal, at = {}, 0, 2
local function remember(id, body)
  if has_former then
    local known = redis.call('HGET', former, id)
    if known then return known end
  end
  if redis.call('HSETNX', current, id, body) == 1 then return nil end
  return redis.call('HGET', current, id)
end
while at <= #ARGV do
  local kind, owner, count = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 3
  local accepted, duplicate, conflicting = 0, 0, 0
  if kind == 'a' or kind == 'r' then
    for _ = 1, count do
      local known = remember(ARGV[at], ARGV[at + 1])
      if not known then
        redis.call('XADD', KEYS[1], '*', 'r', ARGV[at + 3], 'c', ARGV[at + 2])
        accepted = accepted + 1
      elseif known == ARGV[at + 1] then
        duplicate = duplicate + 1
      else
        conflicting = conflicting + 1
        conflicts[#conflicts + 1] = ordinal
      end
      ordinal = ordinal + 1
      at = at + 4
    end
    if kind == 'r' then
      if accepted > 0 then redis.call('HINCRBY', KEYS[3], owner .. '|replayed', accepted) end
      accepted, duplicate, conflicting = 0, 0, count
    end
    if count > conflicting then redis.call('HINCRBY', KEYS[3], owner .. '|received', count - conflicting) end
    if accepted > 0 then redis.call('HINCRBY', KEYS[3], owner .. '|accepted', accepted) end
    if duplicate > 0 then redis.call('HINCRBY', KEYS[3], owner .. '|duplicate', duplicate) end
  elseif kind == 'q' then
    for _ = 1, count do
      redis.call('XADD', KEYS[2], '*', 'm', ARGV[at], 'x', ARGV[at + 1], 'c', ARGV[at + 2])
      at = at + 3
    end
    redis.call('HINCRBY', KEYS[3], owner .. '|received', count)
    redis.call('HINCRBY', KEYS[3], owner .. '|quarantined', count)
  elseif kind == 's' then
    redis.call('HINCRBY', KEYS[3], owner .. '|received', count)
    redis.call('HINCRBY', KEYS[3], owner .. '|suppressed', count)
  end
end
if redis.call('HLEN', current) >= half then
  redis.call('UNLINK', former)
  redis.call('SET', KEYS[6], filling == '1' and '0' or '1')
end
return conflicts
"""


def events_key(partition: int) -> str:
    """The stream of accepted records of a partition."""
    return f"{PREFIX}:{{{partition}}}:events"


def quarantine_key(partition: int) -> str:
    """The stream of quarantined events of a partition."""
    return f"{PREFIX}:{{{partition}}}:quarantine"


def ledger_key(partition: int) -> str:
    """The ledger of a partition."""
    return f"{PREFIX}:{{{partition}}}:ledger"


def keys(partition: int) -> tuple[bytes, ...]:
    """The script's keys for a partition."""
    base = f"{PREFIX}:{{{partition}}}"
    names = ("events", "quarantine", "ledger", "seen:0", "seen:1", "seen")
    return tuple(f"{base}:{name}".encode() for name in names)


def partition_of(source_key: str, partitions: int) -> int:
    """Which partition keeps the order of this source key."""
    return zlib.crc32(source_key.encode(errors="surrogatepass")) % partitions


@dataclass(slots=True)
class Section:
    """Items of one kind and one owner for one partition, in the order in which they came."""

    kind: bytes
    owner: bytes
    values: list[bytes] = field(default_factory=list)
    count: int = 0
    sources: list[Any] = field(default_factory=list)
    """For accept sections: what to quarantine where an id turns out to be used twice (raw bytes and
    number).
    """


def command(sha: bytes, partition: int, half_window: int, sections: Iterable[Section]) -> tuple[bytes, ...]:
    """The script call that stores these sections in a partition."""
    words: list[bytes] = [b"EVALSHA", sha, b"6", *keys(partition), b"%d" % half_window]
    for section in sections:
        words += (section.kind, section.owner, b"%d" % section.count)
        words += section.values
    return tuple(words)
