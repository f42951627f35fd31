-- Its tables, filled from Brook's, which have the same columns.
INSERT INTO actstream_action (
  id, actor_content_type_id, actor_object_id, verb, description, target_content_type_id,
  target_object_id, action_object_content_type_id, action_object_object_id, timestamp, public
)
SELECT
  id, actor_content_type_id, actor_object_id, verb, description, target_content_type_id,
  target_object_id, action_object_content_type_id, action_object_object_id, timestamp, public
FROM activity_action;
INSERT INTO actstream_follow (id, user_id, content_type_id, object_id, actor_only, flag, started)
SELECT id, user_id, content_type_id, object_id, actor_only, flag, started
FROM activity_follow;
