-- $1 text: name of the scratch database. The statement that makes it, with the locale of this one.
-- The columns of the provider have other names in other versions.
SELECT format('CREATE DATABASE %I TEMPLATE template0 ALLOW_CONNECTIONS false ENCODING %L '
        'LC_COLLATE %L LC_CTYPE %L', $1, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype)
    || CASE d.datlocprovider
        WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L',
            coalesce(j.columns ->> 'daticulocale', j.columns ->> 'datlocale'))
        WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L',
            j.columns ->> 'datlocale')
        ELSE '' END
FROM pg_database AS d
CROSS JOIN LATERAL (SELECT to_jsonb(d) AS columns) AS j
WHERE d.datname = current_database()
