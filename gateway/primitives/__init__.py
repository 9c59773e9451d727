"""The objects users hold: the sampler, the estimator, their jobs."""
