"""Who was taken to be whom at any known time: connected components over every state that a group of keys went through.

The graph of all links that ever held falls into small groups. In each group something changes at a few moments: a
link begins or ends. Between two of them the belief stands still, so it is computed once for each: the nodes of a
group are laid out once for each moment, the links that held then join them, and one call finds the components of all
groups at all moments. Groups are taken in chunks, so the memory does not grow with the number of customers.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from genome.identity.facts import FOREVER, Bools, Ints

LAID_OUT = 3_000_000
"""Laid-out nodes of one chunk; about 100 bytes each."""


@dataclass(frozen=True)
class Links:
    """What joins keys, and when; times in microseconds since 1970, half-open.

    Attributes:
        one: a key; of a thing's link its owner.
        other: another key.
        start: from when.
        end: until when.
        is_core: it joins what is one person's by declaration (account, card, a person's or Splink's decision);
            the others join a thing to its owner.
    """

    one: Ints
    other: Ints
    start: Ints
    end: Ints
    is_core: Bools


@dataclass(frozen=True)
class Beliefs:
    """Which key stood for which customer, from when until when it was believed.

    Attributes:
        key: the source key.
        customer: the key that gives its customer the name.
        known_from: microseconds since 1970.
        known_to: likewise; FOREVER where it is believed now.
    """

    key: Ints
    customer: Ints
    known_from: Ints
    known_to: Ints


@dataclass(frozen=True)
class Conflicts:
    """Links that were not followed because they would have joined two persons, and since when."""

    link: Ints
    at: Ints


def resolve(links: Links, rank: Ints, unique: Ints, known: Ints) -> tuple[Beliefs, Conflicts]:
    """Compute every belief.

    Args:
        links: those that held at some time.
        rank: of each key, its place in the order in which keys became known: the first of a cluster names it.
        unique: of each key, which kind of a person's only ones it is of; −1 for the others.
        known: of each key, when it became known as a customer's own; FOREVER where it never did.

    Returns:
        Beliefs about every key that ever had a link, by key and time; and what was refused because of a conflict.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    linked = np.zeros(len(rank), bool)
    linked[links.one] = linked[links.other] = True
    keys = np.flatnonzero(linked)
    if not len(keys):
        none = np.zeros(0, np.int64)
        return Beliefs(none, none, none, none), Conflicts(none, none)
    number = np.cumsum(linked) - 1
    one, other = number[links.one], number[links.other]
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(len(keys), len(keys)))
    groups, group = connected_components(graph, directed=False)
    group = group.astype(np.int64)
    # Nodes by group, within it by rank: the first node of a component is then the one that names it.
    order = np.lexsort((rank[keys], group))
    place = np.empty(len(keys), np.int64)
    place[order] = np.arange(len(keys))
    node_key = keys[order]
    node_from = np.searchsorted(group[order], np.arange(groups + 1))
    of_link = group[one]
    by_group = np.argsort(of_link, kind="stable")
    link_from = np.searchsorted(of_link[by_group], np.arange(groups + 1))
    moment_group, moment, since, until = moments(of_link, links.start, links.end)
    moment_from = np.searchsorted(moment_group, np.arange(groups + 1))
    since, until = since - moment_from[of_link], until - moment_from[of_link]
    # How large each group is when laid out, and where chunks of about equal size begin.
    laid = np.diff(node_from) * np.diff(moment_from)
    chunk = np.cumsum(laid) // LAID_OUT
    bounds = np.append(np.flatnonzero(np.diff(chunk, prepend=-1) != 0), groups)
    found: list[Beliefs] = []
    refused: list[Conflicts] = []
    for first, last in itertools.pairwise(bounds):
        mine = by_group[link_from[first] : link_from[last]]
        nodes = node_key[node_from[first] : node_from[last]]
        beliefs, conflicts = _chunk(
            _Chunk(
                nodes=np.diff(node_from[first : last + 1]),
                moments=np.diff(moment_from[first : last + 1]),
                moment=moment[moment_from[first] : moment_from[last]],
                key=nodes,
                unique=unique[nodes],
                known=known[nodes],
                link=mine,
                group=of_link[mine] - first,
                one=place[one[mine]] - node_from[first],
                other=place[other[mine]] - node_from[first],
                since=since[mine],
                until=until[mine],
                is_core=links.is_core[mine],
            )
        )
        found.append(beliefs)
        refused.append(conflicts)
    key = np.concatenate([each.key for each in found])
    known_from = np.concatenate([each.known_from for each in found])
    order = np.lexsort((known_from, key))
    customer = np.concatenate([each.customer for each in found])[order]
    known_to = np.concatenate([each.known_to for each in found])[order]
    return Beliefs(key[order], customer, known_from[order], known_to), _earliest(refused)


@dataclass(frozen=True)
class _Chunk:
    """Some groups, numbered from 0, with their nodes in the order of their ranks.

    Attributes:
        nodes: of each group, how many nodes.
        moments: of each group, how many moments.
        moment: the moments, by group and time.
        key: of each node.
        unique: of each node.
        known: of each node.
        link: of each link, its number among all.
        group: of each link.
        one: of each link, a node.
        other: of each link, the other node.
        since: of each link, the moment of its group from which it holds.
        until: of each link, the one up to which.
        is_core: of each link.
    """

    nodes: Ints
    moments: Ints
    moment: Ints
    key: Ints
    unique: Ints
    known: Ints
    link: Ints
    group: Ints
    one: Ints
    other: Ints
    since: Ints
    until: Ints
    is_core: Bools


def moments(group: Ints, begin: Ints, end: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """When anything begins or ends in each group.

    Args:
        group: of each interval, its group, counted from 0.
        begin: of each interval.
        end: of each interval; FOREVER where it has none.

    Returns:
        The moments by group and time, each once: their groups and their times. And of each interval between which
        moments it lies: the number of its first, and of the one after its last.
    """
    ended = np.flatnonzero(end < FOREVER)
    groups = np.concatenate([group, group[ended]])
    at = np.concatenate([begin, end[ended]])
    order = np.lexsort((at, groups))
    groups, at = groups[order], at[order]
    new = np.ones(len(at), bool)
    new[1:] = (groups[1:] != groups[:-1]) | (at[1:] != at[:-1])
    number = np.empty(len(at), np.int64)
    number[order] = np.cumsum(new) - 1
    groups, at = groups[new], at[new]
    until = np.searchsorted(groups, group, side="right").astype(np.int64)
    until[ended] = number[len(group) :]
    return groups, at, number[: len(group)], until


def _chunk(chunk: _Chunk) -> tuple[Beliefs, Conflicts]:
    node_from, moment_from = _starts(chunk.nodes), _starts(chunk.moments)
    size = chunk.nodes * chunk.moments
    laid_from, total = _starts(size), int(size.sum())
    # Each link, once for each moment at which it holds.
    row, step = ranges(chunk.since, chunk.until)
    of = chunk.group[row]
    base = laid_from[of] + step * chunk.nodes[of] - node_from[of]
    one, other = base + chunk.one[row], base + chunk.other[row]
    # Each node, once for each moment of its group.
    group = np.repeat(np.arange(len(size)), size)
    within = np.arange(total) - laid_from[group]
    moment_of, local = np.divmod(within, chunk.nodes[group])
    node = node_from[group] + local

    label = _components(one, other, total)
    dropped = _bridges(label, one, other, chunk.is_core[row], chunk.unique[node])
    conflicts = Conflicts(chunk.link[row[dropped]], chunk.moment[moment_from[of[dropped]] + step[dropped]])
    if len(dropped):
        kept = np.ones(len(one), bool)
        kept[dropped] = False
        label = _components(one[kept], other[kept], total)
    # Nodes lie in the order of their ranks; written from behind, the first of a component is what stays.
    first = np.empty(int(label.max()) + 1, np.int64)
    first[label[::-1]] = np.arange(total)[::-1]
    customer = chunk.key[node[first[label]]]
    # From moment by moment to node by node, so that what was believed of a key stands in a row.
    turned = np.empty(total, np.int64)
    turned[laid_from[group] + local * chunk.moments[group] + moment_of] = np.arange(total)
    at = chunk.moment[moment_from[group] + moment_of]
    return runs(chunk.key[node][turned], customer[turned], at[turned], chunk.known[node][turned]), conflicts


def _components(one: Ints, other: Ints, total: int) -> Ints:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    joined = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(total, total))
    found: Ints = connected_components(joined, directed=False)[1].astype(np.int64)
    return found


def _bridges(label: Ints, one: Ints, other: Ints, is_core: Bools, unique: Ints) -> Ints:
    """Links of things between two persons, in every component that holds two persons.

    A person is what is joined by declarations. Two of them in one component are two, if both have something of
    which a person has one.
    """
    suspect = _several(label, unique, np.arange(len(label)))
    if not suspect.any():
        return np.zeros(0, np.int64)
    links = np.flatnonzero(suspect[label[one]])
    core = np.arange(len(label))
    inner = links[is_core[links]]
    nodes, ends = np.unique(np.concatenate([one[inner], other[inner]]), return_inverse=True)
    core[nodes] = (
        nodes[_first_of(_components(ends[: len(inner)], ends[len(inner) :], len(nodes)))] if len(nodes) else 0
    )
    conflict = _several(label, unique, core)
    things = links[~is_core[links] & conflict[label[one[links]]]]
    owner = np.empty(len(label), np.int64)
    owner[other[things]] = core[one[things]]
    shared = np.zeros(len(label), bool)
    shared[other[things[owner[other[things]] != core[one[things]]]]] = True
    return things[shared[other[things]]]


def _several(label: Ints, unique: Ints, core: Ints) -> Bools:
    """Of each component, whether it holds two cores that have something of one unique kind."""
    found = np.zeros(int(label.max()) + 1, bool)
    one_core = np.empty(len(found), np.int64)
    for kind in range(int(unique.max(initial=-1)) + 1):
        nodes = np.flatnonzero(unique == kind)
        one_core[label[nodes]] = core[nodes]
        found[label[nodes[one_core[label[nodes]] != core[nodes]]]] = True
    return found


def _first_of(label: Ints) -> Ints:
    """Of each node, the first node of its component."""
    first = np.empty(int(label.max()) + 1, np.int64)
    first[label[::-1]] = np.arange(len(label))[::-1]
    return first[label]


def runs(key: Ints, customer: Ints, at: Ints, known: Ints) -> Beliefs:
    """From what was believed at each moment to intervals; a key alone stands for itself from when it is known."""
    new_key = np.ones(len(key), bool)
    new_key[1:] = key[1:] != key[:-1]
    new = new_key.copy()
    new[1:] |= customer[1:] != customer[:-1]
    heads = np.flatnonzero(new)
    key, customer, known, first = key[heads], customer[heads], known[heads], new_key[heads]
    begin = at[heads]
    end = np.full(len(heads), FOREVER)
    end[:-1] = np.where(first[1:], FOREVER, begin[1:])
    alone = customer == key
    begin = np.where(alone, np.where(first, known, np.maximum(begin, known)), begin)
    # Before its first link a key stood for itself, if it was known.
    before = first & ~alone & (known < begin)
    lasts = begin < end
    return Beliefs(
        np.concatenate([key[before], key[lasts]]),
        np.concatenate([key[before], customer[lasts]]),
        np.concatenate([known[before], begin[lasts]]),
        np.concatenate([begin[before], end[lasts]]),
    )


def _earliest(found: list[Conflicts]) -> Conflicts:
    link, at = np.concatenate([each.link for each in found]), np.concatenate([each.at for each in found])
    order = np.lexsort((at, link))
    link, at = link[order], at[order]
    new = np.diff(link, prepend=-1) != 0
    return Conflicts(link[new], at[new])


def ranges(begin: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Every number of each half-open range: which range it is of, and the number."""
    counts = end - begin
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts - begin, counts)


def _starts(counts: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
