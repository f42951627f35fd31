-- The same parameters as actor.sql; each role has its index, and the three are merged.
SELECT DISTINCT ON (timestamp, id) timestamp, id
FROM (
  (SELECT timestamp, id
   FROM activity_action
   WHERE public AND actor_content_type_id = $1::int AND actor_object_id = $2::text
     AND (timestamp, id) < ('epoch'::timestamptz + $3::bigint * interval '1 microsecond', $4::bigint)
   ORDER BY timestamp DESC, id DESC LIMIT 21)
  UNION ALL
  (SELECT timestamp, id
   FROM activity_action
   WHERE public AND target_content_type_id = $1::int AND target_object_id = $2::text
     AND (timestamp, id) < ('epoch'::timestamptz + $3::bigint * interval '1 microsecond', $4::bigint)
   ORDER BY timestamp DESC, id DESC LIMIT 21)
  UNION ALL
  (SELECT timestamp, id
   FROM activity_action
   WHERE public AND action_object_content_type_id = $1::int AND action_object_object_id = $2::text
     AND (timestamp, id) < ('epoch'::timestamptz + $3::bigint * interval '1 microsecond', $4::bigint)
   ORDER BY timestamp DESC, id DESC LIMIT 21)
) AS ranges
ORDER BY timestamp DESC, id DESC LIMIT 21
