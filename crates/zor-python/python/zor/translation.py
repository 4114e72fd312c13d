"""Translation of lines with a trained network, and scores of translations."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, overload

from . import _zor
from ._error import Error
from .network import Path

__all__ = ["Translation", "TranslationScore", "Translator", "score"]


class Translation(NamedTuple):
    """A translation of a line.

    Attributes:
        text: text in the target language.
        score: mean logarithm of the probability of a token: 0 is certain, below -1 is a guess.
    """

    text: str
    score: float


class TranslationScore(NamedTuple):
    """Scores of the translations of a corpus, equal to those of sacreBLEU.

    Attributes:
        bleu: BLEU, in [0, 1]. Papers print 100 times this number.
        chrf: chrF, in [0, 1]. Papers print 100 times this number.
        sentences: number of sentences.
        bleu_signature: settings of BLEU, as sacreBLEU writes them.
        chrf_signature: settings of chrF, as sacreBLEU writes them.
    """

    bleu: float
    chrf: float
    sentences: int
    bleu_signature: str
    chrf_signature: str


class Translator:
    """A model of the task `translation`, which translates between two languages, both ways.

    Threads may share a translator, and translate at once.
    """

    _native: _zor.Translator

    def __init__(self) -> None:
        raise TypeError("a translator is made by zor.translation.Translator.load")

    @classmethod
    def _with(cls, native: _zor.Translator) -> Translator:
        translator = cls.__new__(cls)
        translator._native = native
        return translator

    @classmethod
    def load(cls, path: Path) -> Translator:
        """Loads a translator from a model file, or from the folder of a run or task.

        Raises:
            FileNotFoundError: there is no such file.
            zor.Error: the file is damaged, or is a model of another task.
        """
        return cls._with(_zor.Translator.load(os.fspath(path)))

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_bytes, (type(self), self._native.to_bytes())

    @property
    def languages(self) -> tuple[str, ...]:
        """The two languages, in the order of the pairs of the training."""
        return tuple(self._native.languages())

    # A str is an iterable of str too.
    @overload
    def translate(  # type: ignore[overload-overlap]
        self,
        lines: str,
        to: str,
        beam: int = 4,
        glossary: Mapping[str, str] | None = None,
        one_way: bool = False,
    ) -> str: ...
    @overload
    def translate(
        self,
        lines: Iterable[str],
        to: str,
        beam: int = 4,
        glossary: Mapping[str, str] | None = None,
        one_way: bool = False,
    ) -> list[str]: ...
    def translate(
        self,
        lines: str | Iterable[str],
        to: str,
        beam: int = 4,
        glossary: Mapping[str, str] | None = None,
        one_way: bool = False,
    ) -> str | list[str]:
        """Translates lines into a language.

        Long lines are divided at the ends of sentences. An empty line has an empty translation.
        Ctrl-C raises `KeyboardInterrupt`.

        Args:
            lines: lines of text, or one line.
            to: language of the translations, one of `languages`.
            beam: number of hypotheses that are kept of each sentence, from 1 to 64. More are
                slower, and sometimes better.
            glossary: terms of the other language, each with the translation that it must have.
                Upper and lower case of a term are one.
            one_way: choose translations by their own probability alone, not also by that of the
                line as a translation back. It is faster.

        Returns:
            The translation of each line; for one line its translation.

        Raises:
            TypeError: a line or a term is not a str.
            zor.Error: a line has a line break, the language is not one of the model's, the beam is
                out of its range, or a term or its translation is empty.
        """
        found = self._translate(lines, to, beam, 1, glossary, one_way)
        texts = [best[0].text for best in found]
        return texts[0] if isinstance(lines, str) else texts

    @overload
    def n_best(  # type: ignore[overload-overlap]
        self,
        lines: str,
        to: str,
        n: int = 4,
        beam: int = 4,
        glossary: Mapping[str, str] | None = None,
        one_way: bool = False,
    ) -> list[Translation]: ...
    @overload
    def n_best(
        self,
        lines: Iterable[str],
        to: str,
        n: int = 4,
        beam: int = 4,
        glossary: Mapping[str, str] | None = None,
        one_way: bool = False,
    ) -> list[list[Translation]]: ...
    def n_best(
        self,
        lines: str | Iterable[str],
        to: str,
        n: int = 4,
        beam: int = 4,
        glossary: Mapping[str, str] | None = None,
        one_way: bool = False,
    ) -> list[Translation] | list[list[Translation]]:
        """Returns the best translations of each line with their scores, the best one first.

        Args:
            lines, to, glossary, one_way: as in `translate`.
            n: maximum number of translations of a line, from 1 to 64.
            beam: as in `translate`; at least `n` hypotheses are kept.

        Returns:
            The translations of each line; for one line its translations.

        Raises:
            TypeError, zor.Error: as `translate`.
        """
        found = self._translate(lines, to, beam, n, glossary, one_way)
        return found[0] if isinstance(lines, str) else found

    def _translate(
        self,
        lines: str | Iterable[str],
        to: str,
        beam: int,
        n: int,
        glossary: Mapping[str, str] | None,
        one_way: bool,
    ) -> list[list[Translation]]:
        for name, value in (("beam", beam), ("n", n)):
            if not 0 < value < 1 << 31:
                raise Error(f"{name} is {value}; it must be from 1 to 64")
        if not isinstance(to, str):
            raise TypeError(f"the language is of type {type(to).__name__}; it must be a str")
        terms = [] if glossary is None else _terms(glossary)
        texts = _lines(lines, "line")
        found = self._native.translate(texts, to, max(beam, n), n, terms, one_way)
        return [[Translation(*one) for one in best] for best in found]

    def __repr__(self) -> str:
        return f"<zor.translation.Translator of {' and '.join(self.languages)}>"


def score(hypotheses: str | Iterable[str], references: str | Iterable[str]) -> TranslationScore:
    """Scores translations, the hypotheses, against a reference for each.

    Args:
        hypotheses: lines that were translated.
        references: translations that are right, one for each line.

    Raises:
        TypeError: a line is not a str.
        zor.Error: there are no lines, their numbers differ, or a line has a line break.

    Example:
        >>> from zor.translation import score
        >>> score(["The cat sat."], ["The cat sat."]).bleu
        1.0
    """
    return TranslationScore(
        *_zor.score_translations(_lines(hypotheses, "hypothesis"), _lines(references, "reference"))
    )


def _lines(lines: str | Iterable[str], name: str) -> list[str]:
    """Returns lines as a list; `name` is the name of a line, for messages."""
    if isinstance(lines, bytes) or not isinstance(lines, Iterable):
        raise TypeError(f"a {name} is of type {type(lines).__name__}; it must be a str")
    found = [lines] if isinstance(lines, str) else list(lines)
    for number, line in enumerate(found):
        if not isinstance(line, str):
            raise TypeError(f"{name} {number} is of type {type(line).__name__}; it must be a str")
        if "\n" in line or "\r" in line:
            raise Error(
                f"{name} {number} has a line break; give one line each, such as text.splitlines()"
            )
    return found


def _terms(glossary: Mapping[str, str]) -> list[tuple[str, str]]:
    if not isinstance(glossary, Mapping):
        raise TypeError(
            f"the glossary is of type {type(glossary).__name__}; it must be a mapping from terms "
            f"to translations"
        )
    for term, translation in glossary.items():
        for text in (term, translation):
            if not isinstance(text, str):
                raise TypeError(f"the glossary has {text!r}; terms and translations must be str")
    return list(glossary.items())


def _from_bytes(cls: type[Translator], data: bytes) -> Translator:
    return cls._with(_zor.Translator.from_bytes(data))
