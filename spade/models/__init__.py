"""The parts put together: heads, model folders, predictors."""
