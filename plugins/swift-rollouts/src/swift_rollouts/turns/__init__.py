"""Answers of several turns: schedulers reply to the model, as users, tools and environments do."""
