"""The case file: its elements, reading and writing it, its diagnostics and its lock."""
