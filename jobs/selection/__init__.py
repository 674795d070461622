"""The answer of a screening: which structures no known prototype explains, each once, ranked."""

from jobs.selection.tables import CSV, Answer, answer_tables

__all__ = ["CSV", "Answer", "answer_tables"]
