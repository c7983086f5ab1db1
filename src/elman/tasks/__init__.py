"""One room per job a user comes with: estimator, settings and what they need; beside them what all jobs share."""
