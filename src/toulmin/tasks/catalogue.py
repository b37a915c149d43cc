"""Every task by name, for configurations: what the task needs to know of the subject is asked of the subject."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from toulmin.faults import ExitCode, Fault, Faulty
from toulmin.tasks.induction import induction_task
from toulmin.tasks.pair import Task
from toulmin.tasks.storyworld.behaviours import story_tasks
from toulmin.tasks.storyworld.tokenizer import story_vocabulary

Subject = Any  #: has ``model.config.d_vocab``, and ``tokenizer`` where the task is text


def _vocabulary(subject: Subject) -> int:
    if subject is None:
        raise Faulty(Fault("tasks.needs_subject", "the task needs a subject, or the option vocabulary"))
    return int(subject.model.config.d_vocab)


def _induction(kind: str) -> Callable[..., Task]:
    def make(
        subject: Subject,
        *,
        length: int = 32,
        vocabulary: int | None = None,
        bos: int | None = 0,
        first_token: int = 1,
    ) -> Task:
        size = _vocabulary(subject) if vocabulary is None else vocabulary
        return induction_task(size, length, kind=kind, bos=bos, first_token=first_token)  # type: ignore[arg-type]

    return make


def _story(name: str) -> Callable[..., Task]:
    def make(subject: Subject) -> Task:
        size = len(story_vocabulary())
        if subject is not None and _vocabulary(subject) != size:
            text = f"story tasks are in storyworld's {size} tokens, the subject has {_vocabulary(subject)}"
            raise Faulty(Fault("tasks.other_vocabulary", text, name=f"story.{name}"), ExitCode.INVALID)
        return story_tasks()[name]

    return make


def task_names() -> tuple[str, ...]:
    """Names that :func:`find_task` knows."""
    return tuple(_catalogue())


def find_task(name: str, subject: Subject = None, **options: Any) -> Task:
    """The task called ``name``, made for ``subject`` (a :class:`toulmin.subjects.Subject`; some tasks need none).

    :raises Faulty: an unknown name (those there are, are listed), unknown options, a subject that does not fit.
    """
    catalogue = _catalogue()
    if name not in catalogue:
        raise Faulty(Fault("tasks.unknown_task", f"there is no task {name!r}", name=name, hint=", ".join(catalogue)))
    make = catalogue[name]
    known = [p for p, spec in inspect.signature(make).parameters.items() if spec.kind is spec.KEYWORD_ONLY]
    unknown = sorted(options.keys() - set(known))
    if unknown:
        hint = f"options: {', '.join(known)}" if known else "it has no options"
        raise Faulty(
            Fault("tasks.unknown_option", f"task {name} has no such option", name=o, hint=hint) for o in unknown
        )
    return make(subject, **options)


def _catalogue() -> Mapping[str, Callable[..., Task]]:
    return {
        "induction": _induction("induction"),
        "repeats": _induction("repeats"),
        **{f"story.{name}": _story(name) for name in story_tasks()},
    }
