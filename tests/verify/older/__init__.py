"""A site of django-activity-stream, run in an environment of its own."""
