"""What a user meets: start-up, quickstart, evaluation, the packaged model."""
