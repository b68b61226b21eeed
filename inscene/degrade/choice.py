"""Which operator a version of an image gets: its own, the one for all, or a shared one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from inscene.degrade.operator import Operator
from inscene.degrade.pool import Cell
from inscene.degrade.profile import Profile
from inscene.degrade.versions import Version
from inscene.seeds import Draws


class Choice(Protocol):
    @property
    def origin(self) -> str:
        """What the operators are from: a profile's name, a preset's, a file's."""

    def operator(self, input_id: str, named: Version) -> Operator: ...


@dataclass(frozen=True)
class Own:
    """Drawn from a profile for each version of each image."""

    profile: Profile

    @property
    def origin(self) -> str:
        return self.profile.name

    def operator(self, input_id: str, named: Version) -> Operator:
        return Operator.draw(self.profile, named.draws)


@dataclass(frozen=True)
class Fixed:
    """The same for all."""

    value: Operator
    origin: str

    def operator(self, input_id: str, named: Version) -> Operator:
        return self.value


@dataclass(frozen=True)
class Shared:
    """Drawn from a profile, and dealt out to the versions of the images."""

    profile: Profile
    dealt: Mapping[Cell, int]

    @property
    def origin(self) -> str:
        return self.profile.name

    def operator(self, input_id: str, named: Version) -> Operator:
        number = self.dealt[input_id, named.version]
        return Operator.draw(self.profile, Draws(named.seed, "operator", number))
