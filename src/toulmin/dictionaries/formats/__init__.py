"""Dictionaries on disk: our own files, and those of other libraries."""
