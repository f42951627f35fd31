-- $1, $2: the actor, a user. $3, $4: where the page begins, in microseconds and by id.
SELECT timestamp, id
FROM activity_action
WHERE public AND actor_content_type_id = $1::int AND actor_object_id = $2::text
  AND (timestamp, id) < ('epoch'::timestamptz + $3::bigint * interval '1 microsecond', $4::bigint)
ORDER BY timestamp DESC, id DESC LIMIT 21
