"""Cases from and to other tools: gsn2x YAML, SACM 2.3 XMI, TEA JSON, and Markdown to read.

Reading is tolerant: what a file says that a case cannot hold is listed line by line, and the rest is read. Writing
keeps everything: what the other format has no place for goes, as one JSON text, into a field named ``toulmin`` that
other tools leave alone, and each such field is listed too. Writing and reading again gives the same case.
"""

from toulmin.case.interchange.formats import FORMATS, export_case, guess_format, import_case

__all__ = ["FORMATS", "export_case", "guess_format", "import_case"]
