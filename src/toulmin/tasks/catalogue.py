"""Tasks by name, fitted to a subject: what configurations name.

A factory takes the subject (for its vocabulary, its tokenizer and the special tokens its card names) and the task's
options, and gives the :class:`~toulmin.tasks.Task`.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from toulmin.faults import Fault, Faulty
from toulmin.tasks.pair import Task


class TaskSubject(Protocol):
    """What a task needs of a subject (:class:`toulmin.subjects.Subject` has it)."""

    @property
    def model(self) -> Any:
        """The model; ``model.config.d_vocab`` is the number of token ids."""
        ...

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, or None."""
        ...

    @property
    def card(self) -> Mapping[str, Any]:
        """What is known of the subject."""
        ...


Factory = Callable[..., Task]


def _induction(subject: TaskSubject, *, length: int = 32) -> Task:
    from toulmin.tasks.induction import induction_task

    return induction_task(subject.model.config.d_vocab, length, kind="induction", bos=subject.card.get("bos", 0))


def _repeats(subject: TaskSubject, *, length: int = 32) -> Task:
    from toulmin.tasks.induction import induction_task

    return induction_task(subject.model.config.d_vocab, length, kind="repeats", bos=subject.card.get("bos", 0))


FACTORIES: Mapping[str, Factory] = {"induction": _induction, "repeats": _repeats}


def find_task(name: str, subject: TaskSubject, **options: Any) -> Task:
    """The task ``name`` for ``subject``.

    :raises Faulty: an unknown task (the nearest names are listed) or an option it does not take.
    """
    factory = FACTORIES.get(name)
    if factory is None:
        near = difflib.get_close_matches(name, FACTORIES, n=3) or sorted(FACTORIES)
        raise Faulty(Fault("tasks.unknown", "no task of that name", name=name, hint="there are: " + ", ".join(near)))
    known = [key for key in inspect.signature(factory).parameters if key != "subject"]
    faults = [
        Fault("tasks.unknown_option", f"task {name} takes: {', '.join(known) or 'no options'}", name=key)
        for key in options
        if key not in known
    ]
    if faults:
        raise Faulty(faults)
    return factory(subject, **options)
