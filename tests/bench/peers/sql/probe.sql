-- The stream of the user $1, as far as it is among the newest actions of all.
SELECT timestamp, id
FROM (
  SELECT * FROM activity_action
  WHERE public
    AND (timestamp, id) < ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bigint)
  ORDER BY timestamp DESC, id DESC
  LIMIT LEAST(10000, GREATEST(500, 2 * (SELECT count(*) FROM activity_follow WHERE user_id = $1::int)))
) AS action
WHERE EXISTS (SELECT 1 FROM activity_follow WHERE user_id = $1::int
             AND content_type_id = action.actor_content_type_id
             AND object_id = action.actor_object_id)
   OR EXISTS (SELECT 1 FROM activity_follow WHERE user_id = $1::int AND NOT actor_only
             AND content_type_id = action.target_content_type_id
             AND object_id = action.target_object_id)
   OR EXISTS (SELECT 1 FROM activity_follow WHERE user_id = $1::int AND NOT actor_only
             AND content_type_id = action.action_object_content_type_id
             AND object_id = action.action_object_object_id)
ORDER BY timestamp DESC, id DESC LIMIT 21
