"""The command `charrnn neurons`: what hidden units follow in a text.

`reading` finds the text, `measurement` measures, `view` shows.
"""
