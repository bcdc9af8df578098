"""Dense attention on lane-tiled arrays; the lanes are tokens.

Queries, keys, values and outputs are ``(tiles, heads * size, lanes)``: a token is a lane of a tile,
and head h has the features from ``h * size`` on. ``sequences.Sequences`` says which tokens belong
together. Scores are never held for more than a strip of queries and a strip of keys, so memory
grows with the tokens, not with their square.
"""
