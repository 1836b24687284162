"""The numbers of rules of connections, by which workers count what each does."""

from __future__ import annotations

import msgspec

from proxy.config.model.rules import ConnectionRules


class RuleNumbers:
    """Numbers the rules of all sections, in the order of sections and stages."""

    def __init__(self) -> None:
        """The first rule is 0."""
        self.taken = 0

    def numbered(self, rules: ConnectionRules | None) -> ConnectionRules | None:
        """The rules of the next section with their numbers."""
        if rules is None:
            return None
        stages = {}
        for stage, found in rules.stages.items():
            stages[stage] = tuple(
                msgspec.structs.replace(rule, number=self.taken + offset)
                for offset, rule in enumerate(found)
            )
            self.taken += len(found)
        return msgspec.structs.replace(rules, **stages)
