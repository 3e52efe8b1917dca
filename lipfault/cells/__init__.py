"""Robot cells simulated with MuJoCo (optional extra `simulate`).

`lipfault.cells.registry` lists the cells and simulates their episodes.
"""
