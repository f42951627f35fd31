"""A sample site: people, the repositories they work on, and what they do there."""
