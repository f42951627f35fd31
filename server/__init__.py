"""What is true: models, follows and streams of actions; nothing here knows of GraphQL."""
