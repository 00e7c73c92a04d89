"""Generation: paths from noise or other data to data, models of them, and ways along them.

Five independent choices make a generative model: the *path*, what a model on it *predicts*, the *coupling* of both ends
in training, the *objective*, and the *sampler*. Any of them can be exchanged without touching the others.
"""
