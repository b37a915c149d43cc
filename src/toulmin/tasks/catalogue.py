"""Every task by name, for configurations: what the task needs to know of the subject is asked of the subject.

A task is an entry point of the group ``toulmin.tasks``: a function of the subject (or None) whose keyword-only
arguments are the task's options, and which gives a :class:`Task`. An installed package adds its own the same way.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal

from toulmin.faults import Fault, FaultError
from toulmin.studies import Registry
from toulmin.tasks.english import (
    capitals_task,
    docstring_task,
    gendered_pronoun_task,
    greater_than_task,
    ioi_task,
)
from toulmin.tasks.induction import induction_task
from toulmin.tasks.pair import Task
from toulmin.tasks.story_tasks import story_tasks
from toulmin.tasks.storyworld.lexicon import SPECIAL
from toulmin.tasks.storyworld.tokenizer import story_vocabulary
from toulmin.tasks.tracr import tracr_task

Subject = Any  #: has ``model.config.d_vocab``, and ``tokenizer`` where the task is text
Maker = Callable[..., Task]


def _is_maker(found: Any, name: str) -> bool:
    return callable(found)


_REGISTRY: Registry[Maker] = Registry("toulmin.tasks", "task", "tasks.unknown_task", _is_maker)


def task_names() -> tuple[str, ...]:
    """Names that :func:`find_task` knows, sorted."""
    return tuple(_REGISTRY.names())


def find_task(name: str, subject: Subject = None, **options: Any) -> Task:
    """The task called ``name``, made for ``subject`` (a :class:`toulmin.subjects.Subject`, or its model where the task
    is not text; some tasks need none).

    :raises FaultError: an unknown name (the nearest are listed), unknown options, a subject that does not fit.
    """
    make = _REGISTRY.find(name)
    known = [p for p, spec in inspect.signature(make).parameters.items() if spec.kind is spec.KEYWORD_ONLY]
    unknown = sorted(options.keys() - set(known))
    if unknown:
        hint = f"options: {', '.join(known)}" if known else "it has no options"
        raise FaultError(
            Fault("tasks.unknown_option", f"task {name} has no such option", name=o, hint=hint) for o in unknown
        )
    return make(subject, **options)


def _vocabulary(subject: Subject) -> int:
    if subject is None:
        raise FaultError(Fault("tasks.needs_subject", "the task needs a subject, or the option vocabulary"))
    config: Any = getattr(getattr(subject, "model", subject), "config", None)
    if not hasattr(config, "d_vocab"):
        text = f"the task needs a subject with a transformer, and this is a {type(subject).__name__}"
        raise FaultError(Fault("tasks.needs_subject", text, hint="toulmin.subjects.load(reference) gives one"))
    return int(config.d_vocab)


def _induction(kind: Literal["induction", "repeats"]) -> Maker:
    def make(
        subject: Subject,
        *,
        length: int = 32,
        vocabulary: int | None = None,
        bos: int | bool = True,
        first_token: int = 1,
    ) -> Task:
        """``bos``: true for the tokenizer's own first token, false for none, or a token id."""
        tokenizer = getattr(subject, "tokenizer", None)
        size = _vocabulary(subject) if vocabulary is None else vocabulary
        special: Sequence[int] = ()
        own: int | None = 0  # a subject without a tokenizer begins with token 0, as the embedded ones do
        if tokenizer is not None:
            size = min(size, len(tokenizer))  # a model may have more embeddings than its tokenizer has ids
            own = tokenizer.bos
            special = [t for t in (tokenizer.bos, tokenizer.eos, tokenizer.pad) if t is not None]
        first = own if bos is True else None if bos is False else bos
        return induction_task(size, length, kind=kind, bos=first, first_token=first_token, exclude=special)

    return make


induction = _induction("induction")
repeats = _induction("repeats")


def _story_words(subject: Subject) -> int:
    """The size of storyworld's vocabulary, which must be the subject's."""
    size = len(story_vocabulary())
    if subject is not None and _vocabulary(subject) != size:
        text = f"story tasks are in storyworld's {size} tokens, the subject has {_vocabulary(subject)}"
        raise FaultError(Fault("tasks.other_vocabulary", text))
    return size


def _story(name: str) -> Maker:
    def make(subject: Subject) -> Task:
        _story_words(subject)
        return story_tasks()[name]

    return make


def story_induction(subject: Subject, *, length: int = 32) -> Task:
    """Induction on storyworld's words."""
    return induction_task(_story_words(subject), length, first_token=len(SPECIAL))


story_two_name = _story("two_name")
story_two_name_abc = _story("two_name_abc")
story_pronoun = _story("pronoun")
story_greater_than = _story("greater_than")
story_topic = _story("topic")
story_number = _story("number")
story_list = _story("list")


def _tokenizer(subject: Subject) -> Any:
    if subject is None or getattr(subject, "tokenizer", None) is None:
        raise FaultError(Fault("tasks.needs_tokenizer", "the task is text: it needs a subject that has a tokenizer"))
    return subject.tokenizer


def _prompts(task: Maker) -> Maker:
    def make(subject: Subject, *, bos: bool | None = None) -> Task:
        return task(_tokenizer(subject), bos=bos)

    return make


greater_than = _prompts(greater_than_task)
gendered_pronoun = _prompts(gendered_pronoun_task)
docstring = _prompts(docstring_task)
capitals = _prompts(capitals_task)


def ioi(subject: Subject, *, bos: bool | None = None, counterfactual: str = "swap") -> Task:
    """Indirect-object identification in English."""
    return ioi_task(_tokenizer(subject), bos=bos, counterfactual=counterfactual)


def tracr(subject: Subject, *, folder: str = "", program: str = "") -> Task:
    """Inputs of a compiled program; ``folder`` has the recorded inputs and outputs of ``program``."""
    missing = [name for name, value in (("folder", folder), ("program", program)) if not value]
    if missing:
        raise FaultError(Fault("tasks.missing_option", "the task tracr needs it", name=name) for name in missing)
    return tracr_task(folder, program)
