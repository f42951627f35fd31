-- What a page shows, for the ids that one of the other files finds: that page and the two content
-- types are filled in when a side starts. Ids are text: a CASE keeps a group's from the users' table.
SELECT action.id,
       action.verb,
       to_char(action.timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') AS timestamp,
       (extract(epoch FROM action.timestamp) * 1000000)::bigint AS microseconds,
       action.actor_content_type_id AS actor_type,
       action.actor_object_id AS actor_id,
       CASE action.actor_content_type_id
         WHEN {user} THEN (SELECT username FROM auth_user WHERE id = action.actor_object_id::int)
         WHEN {group} THEN (SELECT name FROM auth_group WHERE id = action.actor_object_id::int)
       END AS actor_name,
       action.target_content_type_id AS target_type,
       action.target_object_id AS target_id,
       CASE action.target_content_type_id
         WHEN {user} THEN (SELECT username FROM auth_user WHERE id = action.target_object_id::int)
         WHEN {group} THEN (SELECT name FROM auth_group WHERE id = action.target_object_id::int)
       END AS target_name,
       action.action_object_content_type_id AS action_object_type,
       action.action_object_object_id AS action_object_id,
       CASE action.action_object_content_type_id
         WHEN {user} THEN (SELECT username FROM auth_user WHERE id = action.action_object_object_id::int)
         WHEN {group} THEN (SELECT name FROM auth_group WHERE id = action.action_object_object_id::int)
       END AS action_object_name
FROM ({page}) AS page
JOIN activity_action AS action ON action.id = page.id
ORDER BY page.timestamp DESC, page.id DESC
