-- The same stream where the probe comes short: the newest action of each of the followed, and what
-- is behind the 63 newest of these. An action is behind at most three. The newest of 42 say how new
-- the page's last action is at least: nothing older need be looked at.
WITH actors AS (
  SELECT content_type_id AS type, object_id AS object
  FROM activity_follow WHERE user_id = $1::int GROUP BY content_type_id, object_id
), reached AS (
  SELECT content_type_id AS type, object_id AS object
  FROM activity_follow WHERE user_id = $1::int AND NOT actor_only GROUP BY content_type_id, object_id
), few AS (
  SELECT head.timestamp, head.id
  FROM actors CROSS JOIN LATERAL (
    SELECT timestamp, id FROM activity_action
    WHERE public AND actor_content_type_id = actors.type AND actor_object_id = actors.object
      AND (timestamp, id) < ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bigint)
    ORDER BY timestamp DESC, id DESC LIMIT 1
  ) AS head LIMIT 42
), least AS (
  SELECT timestamp FROM few ORDER BY timestamp DESC, id DESC LIMIT 1 OFFSET 20
), heads AS (
  SELECT 0 AS role, followed.type, followed.object, head.timestamp, head.id
  FROM actors AS followed CROSS JOIN LATERAL (
    SELECT timestamp, id FROM activity_action
    WHERE public AND actor_content_type_id = followed.type AND actor_object_id = followed.object
      AND (timestamp, id) < ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bigint)
      AND timestamp >= COALESCE((SELECT timestamp FROM least), '-infinity')
    ORDER BY timestamp DESC, id DESC LIMIT 1
  ) AS head
  UNION ALL SELECT 1 AS role, followed.type, followed.object, head.timestamp, head.id
  FROM reached AS followed CROSS JOIN LATERAL (
    SELECT timestamp, id FROM activity_action
    WHERE public AND target_content_type_id = followed.type AND target_object_id = followed.object
      AND (timestamp, id) < ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bigint)
      AND timestamp >= COALESCE((SELECT timestamp FROM least), '-infinity')
    ORDER BY timestamp DESC, id DESC LIMIT 1
  ) AS head
  UNION ALL SELECT 2 AS role, followed.type, followed.object, head.timestamp, head.id
  FROM reached AS followed CROSS JOIN LATERAL (
    SELECT timestamp, id FROM activity_action
    WHERE public AND action_object_content_type_id = followed.type AND action_object_object_id = followed.object
      AND (timestamp, id) < ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bigint)
      AND timestamp >= COALESCE((SELECT timestamp FROM least), '-infinity')
    ORDER BY timestamp DESC, id DESC LIMIT 1
  ) AS head
), kept AS (
  SELECT role, type, object FROM heads ORDER BY timestamp DESC, id DESC LIMIT 63
)
SELECT timestamp, id FROM (
  SELECT arm.timestamp, arm.id
  FROM kept CROSS JOIN LATERAL (
    SELECT timestamp, id FROM activity_action
    WHERE public AND actor_content_type_id = kept.type AND actor_object_id = kept.object
      AND (timestamp, id) < ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bigint)
    ORDER BY timestamp DESC, id DESC LIMIT 21
  ) AS arm WHERE kept.role = 0
  UNION SELECT arm.timestamp, arm.id
  FROM kept CROSS JOIN LATERAL (
    SELECT timestamp, id FROM activity_action
    WHERE public AND target_content_type_id = kept.type AND target_object_id = kept.object
      AND (timestamp, id) < ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bigint)
    ORDER BY timestamp DESC, id DESC LIMIT 21
  ) AS arm WHERE kept.role = 1
  UNION SELECT arm.timestamp, arm.id
  FROM kept CROSS JOIN LATERAL (
    SELECT timestamp, id FROM activity_action
    WHERE public AND action_object_content_type_id = kept.type AND action_object_object_id = kept.object
      AND (timestamp, id) < ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', $3::bigint)
    ORDER BY timestamp DESC, id DESC LIMIT 21
  ) AS arm WHERE kept.role = 2
) AS arms
ORDER BY timestamp DESC, id DESC LIMIT 21
