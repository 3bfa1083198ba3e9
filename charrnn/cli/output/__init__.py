"""Output: text that is safe on a terminal, tables, charts and picture files.

Imports the core, and nothing else of `cli`. Begin with `console`; every character that reaches a
terminal passes through `safe_text`.
"""
