"""Command line: shows, saves and exits; what it shows is computed in the other packages.

Only here are typer, rich and tqdm imported. Imports every other package; `output` and `runs` import
no command. Begin with `app`, then a command such as `sample`.
"""
