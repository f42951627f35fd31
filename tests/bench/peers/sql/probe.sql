-- The stream of the user $1, as far as it is among the newest actions of all: first among the very
-- newest, each looked up, for who follows so many that a table made of them takes longer.
WITH glance AS MATERIALIZED (
  SELECT timestamp, id
  FROM (
    SELECT * FROM activity_action
    WHERE public
      AND (timestamp, id) < ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bigint)
    ORDER BY timestamp DESC, id DESC LIMIT 63
  ) AS action
  WHERE (SELECT count(*) FROM (SELECT 1 FROM activity_follow WHERE user_id = $1::int LIMIT 251) AS counted) > 250
    AND ((SELECT 1 FROM activity_follow WHERE user_id = $1::int
          AND content_type_id = action.actor_content_type_id
          AND object_id = action.actor_object_id LIMIT 1) = 1
      OR (SELECT 1 FROM activity_follow WHERE user_id = $1::int AND NOT actor_only
          AND content_type_id = action.target_content_type_id
          AND object_id = action.target_object_id LIMIT 1) = 1
      OR (SELECT 1 FROM activity_follow WHERE user_id = $1::int AND NOT actor_only
          AND content_type_id = action.action_object_content_type_id
          AND object_id = action.action_object_object_id LIMIT 1) = 1)
  ORDER BY timestamp DESC, id DESC LIMIT 21
)
SELECT timestamp, id FROM (
  SELECT * FROM glance WHERE (SELECT count(*) FROM glance) = 21
  UNION ALL
  SELECT * FROM (
    SELECT timestamp, id
    FROM (
      SELECT * FROM activity_action
      WHERE public
        AND (timestamp, id) < ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bigint)
      ORDER BY timestamp DESC, id DESC
      LIMIT LEAST(10000, GREATEST(500, 2 * (SELECT count(*) FROM activity_follow WHERE user_id = $1::int)))
    ) AS action
    WHERE (SELECT count(*) FROM glance) < 21
      AND ((actor_content_type_id, actor_object_id) IN
           (SELECT content_type_id, object_id FROM activity_follow WHERE user_id = $1::int)
        OR (target_content_type_id, target_object_id) IN
           (SELECT content_type_id, object_id FROM activity_follow WHERE user_id = $1::int AND NOT actor_only)
        OR (action_object_content_type_id, action_object_object_id) IN
           (SELECT content_type_id, object_id FROM activity_follow WHERE user_id = $1::int AND NOT actor_only))
    ORDER BY timestamp DESC, id DESC LIMIT 21
  ) AS probe
) AS found
ORDER BY timestamp DESC, id DESC
