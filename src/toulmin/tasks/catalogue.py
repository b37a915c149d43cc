"""Every task by name, for configurations: what the task needs to know of the subject is asked of the subject."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from toulmin.faults import Fault, FaultError
from toulmin.tasks.induction import induction_task
from toulmin.tasks.pair import Task
from toulmin.tasks.prompts import capitals_task, docstring_task, ioi_task, years_task
from toulmin.tasks.storyworld.behaviours import story_tasks
from toulmin.tasks.storyworld.lexicon import SPECIAL
from toulmin.tasks.storyworld.tokenizer import story_vocabulary
from toulmin.tasks.tracr import tracr_task

Subject = Any  #: has ``model.config.d_vocab``, and ``tokenizer`` where the task is text


def _vocabulary(subject: Subject) -> int:
    if subject is None:
        raise FaultError(Fault("tasks.needs_subject", "the task needs a subject, or the option vocabulary"))
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


def _story_words(subject: Subject) -> int:
    """The size of storyworld's vocabulary, which must be the subject's."""
    size = len(story_vocabulary())
    if subject is not None and _vocabulary(subject) != size:
        text = f"story tasks are in storyworld's {size} tokens, the subject has {_vocabulary(subject)}"
        raise FaultError(Fault("tasks.other_vocabulary", text))
    return size


def _story(name: str) -> Callable[..., Task]:
    def make(subject: Subject) -> Task:
        _story_words(subject)
        return story_tasks()[name]

    return make


def _story_induction(subject: Subject, *, length: int = 32) -> Task:
    return induction_task(_story_words(subject), length, first_token=len(SPECIAL))


def _tokenizer(subject: Subject) -> Any:
    if subject is None or getattr(subject, "tokenizer", None) is None:
        raise FaultError(Fault("tasks.needs_tokenizer", "the task is text: it needs a subject that has a tokenizer"))
    return subject.tokenizer


def _prompts(task: Callable[..., Task]) -> Callable[..., Task]:
    def make(subject: Subject, *, bos: bool = False) -> Task:
        return task(_tokenizer(subject), bos=bos)

    return make


def _ioi(subject: Subject, *, bos: bool = False, counterfactual: str = "swap") -> Task:
    return ioi_task(_tokenizer(subject), bos=bos, counterfactual=counterfactual)


def _tracr(subject: Subject, *, folder: str = "", program: str = "") -> Task:
    missing = [name for name, value in (("folder", folder), ("program", program)) if not value]
    if missing:
        raise FaultError(Fault("tasks.missing_option", "the task tracr needs it", name=name) for name in missing)
    return tracr_task(folder, program)


def task_names() -> tuple[str, ...]:
    """Names that :func:`find_task` knows."""
    return tuple(_catalogue())


def find_task(name: str, subject: Subject = None, **options: Any) -> Task:
    """The task called ``name``, made for ``subject`` (a :class:`toulmin.subjects.Subject`; some tasks need none).

    :raises FaultError: an unknown name (those there are, are listed), unknown options, a subject that does not fit.
    """
    catalogue = _catalogue()
    if name not in catalogue:
        raise FaultError(
            Fault("tasks.unknown_task", f"there is no task {name!r}", name=name, hint=", ".join(catalogue))
        )
    make = catalogue[name]
    known = [p for p, spec in inspect.signature(make).parameters.items() if spec.kind is spec.KEYWORD_ONLY]
    unknown = sorted(options.keys() - set(known))
    if unknown:
        hint = f"options: {', '.join(known)}" if known else "it has no options"
        raise FaultError(
            Fault("tasks.unknown_option", f"task {name} has no such option", name=o, hint=hint) for o in unknown
        )
    return make(subject, **options)


def _catalogue() -> Mapping[str, Callable[..., Task]]:
    return {
        "induction": _induction("induction"),
        "repeats": _induction("repeats"),
        "story.induction": _story_induction,
        **{f"story.{name}": _story(name) for name in story_tasks()},
        "ioi": _ioi,
        "years": _prompts(years_task),
        "docstring": _prompts(docstring_task),
        "capitals": _prompts(capitals_task),
        "tracr": _tracr,
    }
