"""Which kinds link is one table, and the live path can read it cheaply."""

import subprocess
import sys

from genome.identity import rules
from genome.identity.rules import LINKS, MEANING, Reason


def test_a_pair_of_kinds_has_one_rule_in_either_order() -> None:
    assert len(LINKS) == len(rules.BY_KINDS) > 15
    for rule in LINKS:
        assert rules.rule_of(rule.owner, rule.other) is rule
        assert rules.rule_of(rule.other, rule.owner) is rule
    assert rules.rule_of("household", "payment_token") is None
    assert rules.rule_of("anonymous", "anonymous") is None


def test_what_a_person_has_once_is_owned_once_by_a_contact() -> None:
    declared = {(rule.owner, rule.other): rule.most for rule in LINKS if rule.other in rules.UNIQUE}
    assert declared[("contact", "user")] == declared[("contact", "loyalty_card")] == 1
    assert min(rule.most for rule in LINKS) == 1


def test_every_reason_can_be_explained() -> None:
    assert set(MEANING) == set(Reason)


def test_the_rules_are_read_without_anything_heavy() -> None:
    code = "import sys, genome.identity.rules; print([n for n in ('duckdb', 'numpy', 'splink') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_key_tells_its_kind() -> None:
    assert rules.kind_of(rules.source_key("user", "u:1")) == "user"
