-- Scratch databases that a crash left behind: the caller holds the lock of restore tests of this
-- database, whose oid is in their names.
SELECT d.datname::text
FROM pg_database AS d
WHERE d.datname ~ format('^crewsnow_restore_%s_[0-9a-f]{16}$',
        (SELECT o.oid FROM pg_database AS o WHERE o.datname = current_database()))
    AND pg_has_role(d.datdba, 'USAGE')
