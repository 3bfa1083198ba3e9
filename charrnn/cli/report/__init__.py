"""`charrnn report`: a run as one self-contained HTML page, or as a model card in Markdown.

`collect` and `collect_pairs` compute the `content`; `page` and `markdown` write it.
"""
