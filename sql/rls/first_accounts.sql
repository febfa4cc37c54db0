-- $1 how many: some accounts, without those that nobody has signed up for where the table knows. @users@ is the table, @key@ its key.
SELECT u.@key@::text
FROM @users@ AS u
WHERE coalesce(to_jsonb(u) ->> 'is_anonymous', 'false') = 'false'
ORDER BY u.@key@
LIMIT $1
