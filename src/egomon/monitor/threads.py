"""The workers of a run, and which of them crashed."""

from __future__ import annotations

from dataclasses import dataclass, field

from egomon.stream.worker import Worker


@dataclass(slots=True, eq=False)
class Threads:
    """All workers of a run."""

    producers: list[Worker] = field(default_factory=list)
    small: Worker | None = None
    large: Worker | None = None
    emit: Worker | None = None

    @property
    def in_order(self) -> list[Worker]:
        """Along the path of the data; the large branch answers to its queue alone."""
        return [*self.producers, *(w for w in (self.small, self.emit) if w is not None)]

    @property
    def crashed(self) -> Worker | None:
        """The first that raised."""
        later = [self.large] if self.large is not None else []
        return next((w for w in [*self.in_order, *later] if w.crash is not None), None)
