-- The same parameters as actor.sql; each role has its index.
(SELECT timestamp, id
 FROM activity_action
 WHERE public AND actor_content_type_id = $1::int AND actor_object_id = $2::text
   AND (timestamp, id) < ('epoch'::timestamptz + $3::bigint * interval '1 microsecond', $4::bigint)
 ORDER BY timestamp DESC, id DESC LIMIT 21)
UNION
(SELECT timestamp, id
 FROM activity_action
 WHERE public AND target_content_type_id = $1::int AND target_object_id = $2::text
   AND (timestamp, id) < ('epoch'::timestamptz + $3::bigint * interval '1 microsecond', $4::bigint)
 ORDER BY timestamp DESC, id DESC LIMIT 21)
UNION
(SELECT timestamp, id
 FROM activity_action
 WHERE public AND action_object_content_type_id = $1::int AND action_object_object_id = $2::text
   AND (timestamp, id) < ('epoch'::timestamptz + $3::bigint * interval '1 microsecond', $4::bigint)
 ORDER BY timestamp DESC, id DESC LIMIT 21)
ORDER BY timestamp DESC, id DESC LIMIT 21
