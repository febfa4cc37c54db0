-- $1 ids: the accounts, as far as claims are made of them. @users@ is the table, @key@ its key.
SELECT u.@key@::text, jsonb_build_object(
    'email', to_jsonb(u) -> 'email', 'raw_app_meta_data', to_jsonb(u) -> 'raw_app_meta_data',
    'raw_user_meta_data', to_jsonb(u) -> 'raw_user_meta_data', 'is_anonymous', to_jsonb(u) -> 'is_anonymous')
FROM @users@ AS u
WHERE u.@key@ = ANY ($1::text[]::@type@[])
