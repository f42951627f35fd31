-- What PostGraphile makes its schema of: a view and functions over Brook's tables, in their plainest
-- form; {user} and {group} are the content types. Equal: the tables and their indexes, 20 actions a
-- page, newest first, public ones only. In its favour: no session, no limits; type, id and name of a
-- role as columns of the action, which it answers twice as fast as relations to users and to groups,
-- and eight times as fast as an interface of both. Not equal: ids are numbers, and the cursor of a
-- function's rows counts them, so that a deep page reads all before it.
DROP SCHEMA IF EXISTS graphile CASCADE;
CREATE SCHEMA graphile;

CREATE VIEW graphile.action AS
SELECT
  id,
  verb,
  timestamp,
  public,
  actor_content_type_id,
  actor_object_id,
  CASE actor_content_type_id WHEN {user} THEN 'User' WHEN {group} THEN 'Group' END AS actor_type,
  CASE actor_content_type_id
    WHEN {user} THEN (SELECT username FROM public.auth_user WHERE id = actor_object_id::int)
    WHEN {group} THEN (SELECT name FROM public.auth_group WHERE id = actor_object_id::int)
  END AS actor_name,
  target_content_type_id,
  target_object_id,
  CASE target_content_type_id WHEN {user} THEN 'User' WHEN {group} THEN 'Group' END AS target_type,
  CASE target_content_type_id
    WHEN {user} THEN (SELECT username FROM public.auth_user WHERE id = target_object_id::int)
    WHEN {group} THEN (SELECT name FROM public.auth_group WHERE id = target_object_id::int)
  END AS target_name,
  action_object_content_type_id,
  action_object_object_id,
  CASE action_object_content_type_id WHEN {user} THEN 'User' WHEN {group} THEN 'Group' END AS action_object_type,
  CASE action_object_content_type_id
    WHEN {user} THEN (SELECT username FROM public.auth_user WHERE id = action_object_object_id::int)
    WHEN {group} THEN (SELECT name FROM public.auth_group WHERE id = action_object_object_id::int)
  END AS action_object_name
FROM public.activity_action;
COMMENT ON VIEW graphile.action IS '@primaryKey id';

CREATE FUNCTION graphile.actor_stream("of" integer) RETURNS SETOF graphile.action
LANGUAGE sql STABLE AS $$
  SELECT * FROM graphile.action
  WHERE public AND actor_content_type_id = {user} AND actor_object_id = "of"::text
  ORDER BY timestamp DESC, id DESC
$$;

CREATE FUNCTION graphile.any_stream("of" integer) RETURNS SETOF graphile.action
LANGUAGE sql STABLE AS $$
  SELECT * FROM graphile.action
  WHERE public AND (
    (actor_content_type_id = {user} AND actor_object_id = "of"::text)
    OR (target_content_type_id = {user} AND target_object_id = "of"::text)
    OR (action_object_content_type_id = {user} AND action_object_object_id = "of"::text)
  )
  ORDER BY timestamp DESC, id DESC
$$;

CREATE FUNCTION graphile.user_stream("of" integer) RETURNS SETOF graphile.action
LANGUAGE sql STABLE AS $$
  SELECT * FROM graphile.action
  WHERE public AND (
    EXISTS (
      SELECT 1 FROM public.activity_follow
      WHERE user_id = "of" AND content_type_id = actor_content_type_id
        AND object_id = actor_object_id
    ) OR EXISTS (
      SELECT 1 FROM public.activity_follow
      WHERE user_id = "of" AND NOT actor_only AND content_type_id = target_content_type_id
        AND object_id = target_object_id
    ) OR EXISTS (
      SELECT 1 FROM public.activity_follow
      WHERE user_id = "of" AND NOT actor_only AND content_type_id = action_object_content_type_id
        AND object_id = action_object_object_id
    )
  )
  ORDER BY timestamp DESC, id DESC
$$;
